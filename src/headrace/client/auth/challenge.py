"""What a refused request asks for (RFC 6750, 3; RFC 9728, 5.1; RFC 9449, 9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .documents import scopes_of

__all__ = ["Challenge", "challenge_in"]

_MAX = 8192
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART = re.compile(
    rf"""[\s,]*(?:
        (?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))
      | (?P<scheme>{_TOKEN})(?:[ \t]+(?P<token68>[A-Za-z0-9\-._~+/]+=*)(?=[ \t]*(?:,|$)))?
    )""",
    re.VERBOSE,
)


class Challenge(NamedTuple):
    scheme: str = ""
    error: str = ""
    scopes: tuple[str, ...] = ()
    resource_metadata: str | None = None
    description: str = ""


def challenge_in(headers: Iterable[str]) -> Challenge:
    """The first challenge for Bearer or DPoP in ``WWW-Authenticate`` fields; an empty one where there is none."""
    first: Challenge | None = None
    for scheme, params in _challenges(headers):
        if scheme not in ("bearer", "dpop"):
            continue
        found = Challenge(
            scheme,
            params.get("error", ""),
            tuple(scopes_of(params.get("scope"))),
            params.get("resource_metadata"),
            params.get("error_description", ""),
        )
        if found.error == "use_dpop_nonce":  # beside a Bearer challenge it is the one to meet
            return found
        first = first or found
    return first or Challenge()


def _challenges(headers: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """Schemes and parameters, names in lower case (RFC 9110, 11.6.1)."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        text, at = header[:_MAX], 0
        while at < len(text) and (part := _PART.match(text, at)) is not None:
            at = part.end()
            if part["scheme"] is not None:
                found.append((part["scheme"].lower(), {}))
            elif found:
                value = part["plain"] if part["quoted"] is None else re.sub(r"\\(.)", r"\1", part["quoted"])
                found[-1][1].setdefault(part["name"].lower(), value)
    return found
