"""The HTML pages of an authorization server: sign in, allow, go on, what went wrong.

One frame for all: no script, nothing loaded, nothing framed, nothing kept, and each text from outside escaped. A form
is answered by a page that leads on rather than by a redirect: Chromium holds redirects after a form to its
``form-action``, and where an identity provider leads a user is not known here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import logging
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from ....exceptions import StoreError
from .contract import OAuthError, RegistrationError
from .grants import Transaction
from .redirects import is_loopback
from .upstream import UpstreamDown

__all__ = ["consent_page", "error_page", "guarded", "onward_page", "page", "sign_in_page"]

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Response]]

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 34rem; }
h1 { font-size: 1.4rem; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
label, input, button { display: block; font: inherit; }
input { box-sizing: border-box; margin: .25rem 0 1rem; padding: .5rem; width: 100%; }
button { display: inline-block; margin: .5rem .5rem 0 0; padding: .5rem 1.25rem; }
:focus-visible { outline: 3px solid #2563eb; outline-offset: 2px; }
[role=alert], .warning { border-inline-start: 4px solid #b91c1c; padding-inline-start: .75rem; }
"""
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # without any a form's Origin would be null, which is refused
    "cache-control": "no-store",
}
_LONGEST = 300
"""Characters of a text from outside that are shown."""


def page(title: str, body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page. `title` is text; `body` is HTML: what of it comes from outside must have been escaped."""
    document = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_text(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return Response(document, status, {**_HEADERS, **(headers or {})}, "text/html; charset=utf-8")


def error_page(title: str, text: str, *, status: int = 400, back: str | None = None) -> Response:
    """What went wrong, and what the user may do about it; `back` is the program's own URL, https."""
    link = f'\n<p><a href="{html.escape(back)}">Back to {_text(_place(back))}</a></p>' if back else ""
    return page(title, f'<p role="alert">{_text(text)}</p>{link}', status=status)


def guarded(answer: Answer) -> Answer:
    """The answers of a login under way, with pages for what goes wrong."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except OAuthError as error:
            return error_page("This login can't go on", str(error))
        except (UpstreamDown, StoreError) as error:
            logger.warning("A login can't go on: %s", error)
            return error_page("This login can't go on", "The server is out of order: try again later", status=503)

    return answered


def onward_page(url: str) -> Response:
    """The answer to a form: the browser goes on to `url` by itself, and by a link where it does not.

    Raises ValueError for a URL that a browser would run.
    """
    if not url.isascii() or urlsplit(url).scheme.lower() in ("", "javascript", "data", "vbscript", "blob", "file"):
        raise ValueError("This is no URL to go on to")
    link = html.escape(url)
    # By a header: unlike a meta element's its value is read in one way only.
    return page("Going on", f'<p><a href="{link}">Go on</a></p>', headers={"refresh": f"0; url={url}"})


def sign_in_page(
    asked: Transaction, server: str, *, action: str, hidden: Mapping[str, str], problem: str | None = None
) -> Response:
    """Asks for ``username`` and ``password``; the button says ``answer=allow`` or ``answer=deny``.

    `server` is the name of this server, as users know it.
    """
    alert = f'<p role="alert">{_text(problem)}</p>\n' if problem else ""
    fields = (
        '<label for="username">User name</label>\n'
        '<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>\n'
        '<label for="password">Password</label>\n'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>\n'
    )
    form = _form(action, hidden, fields, "Sign in and allow")
    return page(f"Sign in to {_line(server)}", f"{alert}{_who(asked, server)}\n{form}")


def consent_page(
    asked: Transaction, server: str, *, action: str, hidden: Mapping[str, str], goes_on_at: str
) -> Response:
    """Asks whether the client may have access; the user then signs in at `goes_on_at`, a host.

    The button says ``answer=allow`` or ``answer=deny``.
    """
    then = f"<p>If you allow it, you sign in at <strong>{_text(goes_on_at)}</strong>.</p>\n"
    return page(
        f"Allow access to {_line(server)}?", f"{_who(asked, server)}\n{then}{_form(action, hidden, '', 'Allow')}"
    )


def _form(action: str, hidden: Mapping[str, str], fields: str, allow: str) -> str:
    values = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">\n'
        for name, value in hidden.items()
    )
    return (
        f'<form method="post" action="{html.escape(action)}">\n{values}{fields}'
        f'<button name="answer" value="allow">{allow}</button>\n'
        '<button name="answer" value="deny" formnovalidate>Deny</button>\n</form>'
    )


def _who(asked: Transaction, server: str) -> str:
    """A name is what the client says of itself: what can be checked, where the answer goes, stands beside it."""
    named = f"<strong>{_text(asked.client_name or 'A program without a name')}</strong>"
    rows = [("Answers go to", _place(asked.redirect_uri)), ("Client", asked.client_id)]
    host = urlsplit(asked.client_id).hostname if asked.client_id.startswith("https://") else None
    if host:
        rows.insert(0, ("Published by", host))
    if asked.scopes:
        rows.append(("It asks for", ", ".join(asked.scopes)))
    listed = "\n".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in rows)
    warning = (
        '\n<p class="warning">Its answers go to this computer, where any program can use that name. Allow it only if '
        "you have just started a login yourself.</p>"
        if _is_local(asked.redirect_uri)
        else ""
    )
    return f"<p>{named} asks for access to <strong>{_text(server)}</strong>.</p>\n<dl>\n{listed}\n</dl>{warning}"


def _place(uri: str) -> str:
    """Where a redirect URI leads: its host, or the scheme of an app, and nothing that could look like another."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _is_local(uri: str) -> bool:
    try:
        return is_loopback(uri)
    except RegistrationError:
        return False


def _line(text: str) -> str:
    """The text without characters that are not seen, or turn others round (categories C and Z), and not too long."""
    seen = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
    line = " ".join(seen.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _text(text: str) -> str:
    return html.escape(_line(text))
