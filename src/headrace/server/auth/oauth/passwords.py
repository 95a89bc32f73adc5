"""Passwords: hashed with scrypt, checked off the event loop, with the same work for a user that is not there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import inspect
import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast, runtime_checkable

__all__ = ["Authenticate", "Authenticator", "Users", "authenticator_of", "hash_password"]

_N, _R, _P = 2**14, 8, 5
"""16 MiB and about 0.2 s each (OWASP, Password Storage)."""
_MAX_CHARACTERS = 1024
_NOBODY = f"scrypt${_N}${_R}${_P}${'A' * 24}${'A' * 44}"

Authenticate = Callable[[str, str], "str | Awaitable[str | None] | None"]
"""(name, password) -> the user's subject, or None; a plain function runs in a thread."""


@runtime_checkable
class Authenticator(Protocol):
    """Knows users by name and password."""

    def authenticate(self, name: str, password: str) -> str | Awaitable[str | None] | None:
        """The user's subject, which never changes; None where name and password do not fit."""
        ...


Users = Mapping[str, str] | Authenticator | Authenticate
"""Names and hashes of passwords, or what knows users by itself."""


def hash_password(password: str) -> str:
    """What `users` keeps of a password: ``scrypt$n$r$p$salt$hash``. Raises ValueError for over 1024 characters."""
    salt = secrets.token_bytes(18)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _N, _R, _P))}"


def authenticator_of(users: Users) -> Callable[[str, str], Awaitable[str | None]]:
    """One async function for all kinds of `users`. Raises ValueError for a hash that is none."""
    if isinstance(users, Mapping):
        hashes = dict(cast("Mapping[str, str]", users))  # a Protocol may be a Mapping, too
        for name, hashed in hashes.items():
            if len(_parts(hashed)) != 5:
                raise ValueError(f"The password of {name} is not hashed: use hash_password")
        return _of_table(hashes)
    function = users.authenticate if isinstance(users, Authenticator) else users

    async def ask(name: str, password: str) -> str | None:
        if inspect.iscoroutinefunction(function):
            return await function(name, password)
        answer = await asyncio.to_thread(function, name, password)
        return await answer if inspect.isawaitable(answer) else answer

    return ask


def _of_table(hashes: Mapping[str, str]) -> Callable[[str, str], Awaitable[str | None]]:
    async def check(name: str, password: str) -> str | None:
        # Who is not there costs as much as who is.
        fits = await asyncio.to_thread(_fits, password, hashes.get(name, _NOBODY))
        return name if fits and name in hashes else None

    return check


def _fits(password: str, hashed: str) -> bool:
    _, n, r, p, rest = _parts(hashed)
    salt, _, digest = rest.partition("$")
    try:
        found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    except ValueError:
        return False
    return hmac.compare_digest(found, base64.b64decode(digest))


def _parts(hashed: str) -> list[str]:
    parts = hashed.split("$", 4)
    return parts if parts[0] == "scrypt" and hashed.count("$") == 5 else []


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    if len(password) > _MAX_CHARACTERS:
        raise ValueError(f"A password has at most {_MAX_CHARACTERS} characters")
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
