"""Which browser is which, while a user logs in: what one browser was asked and has answered counts in no other.

A browser has a random id, in a signed cookie that no page can read and no other host can set. Forms carry a token made
of it, and a login that goes on elsewhere is kept with it, so that a page or URL that was captured is worth nothing in
another browser. (2026-07-28, basic, security best practices, Confused Deputy Problem)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Binding"]


class Binding:
    """Cookies and form tokens of one app, under a key that is derived from its secret.

    `seconds`: how long a browser is known again; None: until it is closed.
    """

    def __init__(self, secret_key: str, base_url: str, *, seconds: int | None = None) -> None:
        self._key = hmac.digest(secret_key.encode(), b"headrace browser", hashlib.sha256)
        self._secure = urlsplit(base_url).scheme == "https"
        # Apps on one host, at other ports or paths, must not overwrite each other's.
        name = f"headrace-{hashlib.sha256(base_url.encode()).hexdigest()[:12]}"
        self.cookie = f"__Host-{name}" if self._secure else name
        self._seconds = seconds

    def browser(self, request: Request) -> str | None:
        """The id of the browser, if it has one that was given here."""
        id, _, mac = request.cookies.get(self.cookie, "").partition(".")
        return id if id and _same(mac, self._mac("cookie", id)) else None

    def opened(self, request: Request) -> str:
        """The id of the browser, a new one where it has none: `remember` it with the answer."""
        return self.browser(request) or secrets.token_urlsafe(32)

    def remember(self, response: Response, browser: str) -> None:
        """Give the browser its cookie. Lax: it must come along when an identity provider sends the user back."""
        response.set_cookie(
            self.cookie,
            f"{browser}.{self._mac('cookie', browser)}",
            max_age=self._seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def form_token(self, browser: str, *bound: str) -> str:
        """What a form of that browser carries, `bound` to what it answers: transaction, client."""
        return self._mac("form", browser, *bound)

    def answered_by(self, request: Request, form_token: str, *bound: str) -> str | None:
        """The browser that the form was made for, if it is the one that sends it."""
        browser = self.browser(request)
        return browser if browser is not None and _same(form_token, self.form_token(browser, *bound)) else None

    def _mac(self, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
