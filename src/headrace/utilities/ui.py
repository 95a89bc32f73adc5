"""Small HTML pages for people, a sign-in for instance. What is given as text is escaped.

`create_page` and `create_secure_html_response` take HTML that the other functions made.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from starlette.responses import HTMLResponse

__all__ = [
    "create_button_group",
    "create_detail_box",
    "create_info_box",
    "create_logo",
    "create_page",
    "create_secure_html_response",
    "create_status_message",
]

_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; base-uri 'none'"
_STYLES = """
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; background: #f4f6f8; color: #1d2733; }
main { max-width: 34rem; margin: 12vh auto; padding: 2rem; background: #fff; border-radius: .75rem; }
.logo { display: block; max-height: 4rem; margin: 0 auto 1.5rem; }
.status { display: flex; gap: .75rem; align-items: center; font-size: 1.15rem; }
.status > span { width: 1.8rem; line-height: 1.8rem; text-align: center; border-radius: 50%; color: #fff; }
.success > span { background: #1b7f4b; } .error > span { background: #b3261e; }
.info { margin: 1rem 0; padding: .75rem 1rem; background: #eaf2fb; border-radius: .5rem; overflow-wrap: anywhere; }
.info.error { background: #fdecea; } .centered { text-align: center; } .mono { font-family: monospace; }
dl.details { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1rem; }
dl.details dt { font-weight: 600; } dl.details dd { margin: 0; overflow-wrap: anywhere; }
.buttons { display: flex; gap: .75rem; justify-content: center; margin-top: 1.5rem; }
.buttons button { font: inherit; padding: .5rem 1.5rem; border: 1px solid #8a97a5; border-radius: .5rem; }
"""
# An open square in a circle: the channel that leads to the wheel.
_LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='16' cy='16' "
    "r='15' fill='%231d5f9e'/%3E%3Cpath d='M6 13h20M6 19h20' stroke='white' stroke-width='3'/%3E%3C/svg%3E"
)


def create_page(content: str, title: str = "Headrace", additional_styles: str = "", csp_policy: str = _CSP) -> str:
    """A whole page around HTML. An empty `csp_policy` leaves the policy to the response."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{escape(csp_policy)}">' if csp_policy else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{policy}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLES}{additional_styles}</style></head>"
        f"<body><main>{content}</main></body></html>"
    )


def create_logo(icon_url: str | None = None, alt_text: str = "Headrace") -> str:
    """The image at an https or data URL, ours if there is none. Raises ValueError for any other URL."""
    if icon_url is not None and not icon_url.lower().startswith(("https://", "data:image/")):
        raise ValueError(f"The icon is an https:// or data:image/ URL, not {icon_url!r}")
    return f'<img class="logo" src="{escape(icon_url or _LOGO)}" alt="{escape(alt_text)}">'


def create_status_message(message: str, is_success: bool = True) -> str:
    kind, sign = ("success", "&#10003;") if is_success else ("error", "&#10005;")
    return f'<p class="status {kind}"><span>{sign}</span>{escape(message)}</p>'


def create_info_box(content: str, is_error: bool = False, centered: bool = False, monospace: bool = False) -> str:
    kinds = ["info", *(["error"] * is_error), *(["centered"] * centered), *(["mono"] * monospace)]
    return f'<div class="{" ".join(kinds)}">{escape(content)}</div>'


def create_detail_box(rows: Iterable[tuple[str, str]]) -> str:
    """Labels and values."""
    lines = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in rows)
    return f'<dl class="details">{lines}</dl>'


def create_button_group(buttons: Iterable[tuple[str, str, str]]) -> str:
    """Buttons of a form: (text, value of the member ``action``, CSS class)."""
    made = "".join(
        f'<button type="submit" name="action" value="{escape(value)}" class="{escape(kind)}">{escape(text)}</button>'
        for text, value, kind in buttons
    )
    return f'<div class="buttons">{made}</div>'


def create_secure_html_response(html: str, status_code: int = 200) -> HTMLResponse:
    """A response that no other page may frame, and that nobody keeps."""
    headers = {
        "x-frame-options": "DENY",
        "content-security-policy": "frame-ancestors 'none'",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return HTMLResponse(html, status_code, headers)
