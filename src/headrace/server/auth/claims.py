"""What an access token must say, whether a signature vouches for it or an answer of its issuer (RFC 9068; RFC 7662)."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from .challenge import serving
from .compact import BadToken
from .provider import AccessToken

__all__ = ["Audience", "access_token_of", "as_list"]

_CLIENT_CLAIMS = ("client_id", "azp", "cid", "appid")
_SCOPE_CLAIMS = ("scope", "scp", "scopes")


def as_list(value: str | Sequence[str] | None, name: str) -> list[str] | None:
    """A setting that is a text or several. Raises ValueError for one that would match anything or nothing."""
    if value is None:
        return None
    values = [value] if isinstance(value, str) else list(value)
    if not values or not all(values):
        raise ValueError(f"{name} is a text that is not empty, or a list of them")
    return values


class Audience:
    """Whom tokens must be for: who is named, or else the resource that they are presented to."""

    def __init__(self, named: Sequence[str] | None, alone: str | None) -> None:
        """`alone`: the resource where no app is around, in scripts and tests of a verifier."""
        self._named = named
        self._alone = alone

    def check_known(self, resource: str | None) -> None:
        """Raises ValueError where nobody says whom tokens must be for."""
        if self._named is None and resource is None:
            raise ValueError("Say whom tokens must be for: base_url= (the public URL of the app), or audience=")

    def named_in(self, audience: Any) -> str:
        """The one of us that an ``aud`` claim has in it. Raises BadToken."""
        values = _texts([audience] if isinstance(audience, str) else audience)
        if values is None:
            raise BadToken("aud is neither a text nor a list of texts")
        resource = serving.get() or self._alone
        ours = self._named if self._named is not None else _spelled(resource)
        for each in values:
            if each in ours:
                return each
        raise BadToken(f"aud names {values!r}, and this is {ours!r}")


def _spelled(resource: str | None) -> list[str]:
    """A URL without a path is the same with a slash, and programs write it so (RFC 3986, 6.2.3)."""
    if resource is None:
        return []
    return [resource] if urlsplit(resource).path else [resource, resource + "/"]


def access_token_of(
    token: str,
    claims: Mapping[str, Any],
    *,
    issuers: Collection[str] | None,
    audience: Audience | None,
    leeway: float,
    must_expire: bool = True,
) -> AccessToken:
    """The access token of these claims. `issuers` and `audience` None: not checked. Raises BadToken."""
    now = time.time()
    expires, issued, begins = (_seconds(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None and must_expire:
        raise BadToken("It has no exp")
    if expires is not None and expires + leeway <= now:
        raise BadToken("It is expired")
    if max(issued or 0, begins or 0) > now + leeway:
        raise BadToken("It is not good yet")
    if issuers is not None and claims.get("iss") not in issuers:
        raise BadToken(f"iss is {claims.get('iss')!r}")
    resource = None if audience is None else audience.named_in(claims.get("aud"))
    texts = {name: _text(claims, name) for name in (*_CLIENT_CLAIMS, "sub", "iss")}
    client = next((texts[name] for name in (*_CLIENT_CLAIMS, "sub") if texts[name]), None)
    if client is None:
        raise BadToken("It says neither whose it is (sub) nor who may use it (client_id)")
    return AccessToken(
        token=token,
        client_id=client,
        scopes=_scopes(claims),
        expires_at=None if expires is None else int(expires),
        resource=resource,
        claims=dict(claims),
        leeway=leeway,
    )


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if name not in claims:
        return None
    # What no clock will ever show is no time, and NaN is in no range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise BadToken(f"{name} is no time")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise BadToken(f"{name} is no text")
    return value


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    for name in _SCOPE_CLAIMS:
        value = claims.get(name)
        if isinstance(value, str):
            return value.split()
        if value is not None:
            values = _texts(value)
            if values is None:
                raise BadToken(f"{name} is neither a text nor a list of texts")
            return values
    return []


def _texts(value: Any) -> list[str] | None:
    values = cast("list[Any]", value) if isinstance(value, list) else None
    return values if values is not None and all(isinstance(each, str) for each in values) else None
