"""Which Host and Origin may come in (2026-07-28, Streamable HTTP, Security & Endpoint). Pure.

A browser sends a page's Origin along; a DNS name that an attacker points at a loopback address arrives with
the attacker's Host. Origin is checked everywhere; Host where a list is given or the connection is loopback.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import urlsplit

from .answer import Denied, Refuse
from .head import Head

__all__ = ["Guard"]

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""As Host and Origin name this machine."""
_LOOPBACK_ADDRESSES = frozenset({"::1", "::ffff:127.0.0.1", "localhost"})
"""Where servers say that a connection arrived, beside 127.0.0.0/8."""
_PORTS = {"http": 80, "https": 443}


class Guard:
    """`allowed_hosts`: host names, with ``*`` as wildcard, with or without a port. `allowed_origins`: origins
    (``https://app.example``), with ``*`` as wildcard; ``*`` alone allows every origin."""

    def __init__(
        self, allowed_hosts: Iterable[str] | None = None, allowed_origins: Iterable[str] | None = None
    ) -> None:
        self._hosts = tuple(host.lower().strip("[]") for host in _listed(allowed_hosts))
        self._origins = tuple(origin.lower().rstrip("/") for origin in _listed(allowed_origins))
        # The same few hosts and origins come all day.
        self._known = lru_cache(maxsize=1024)(self._check)

    def check(self, head: Head) -> None:
        """Raises Denied: 421 for a Host, 403 for an Origin and where both are wrong, 400 for several Hosts."""
        fields, scope = head.fields, head.scope
        server = scope.get("server") or (None,)
        refusal = self._known(fields.get(b"host"), fields.get(b"origin"), scope.get("scheme", "http"), server[0])
        if refusal is not None:
            raise Denied(refusal)

    def _check(self, host: bytes | None, origin: bytes | None, scheme: str, address: str | None) -> Refuse | None:
        return self.verdict(_text(host), _text(origin), scheme, address is not None and _is_loopback(address))

    def verdict(self, host: str | None, origin: str | None, scheme: str, loopback: bool) -> Refuse | None:
        """`loopback`: whether the connection arrived on a loopback address."""
        host_refused = self._hosts_apply(loopback) and not self._host_allowed(host)
        if origin is not None and not self._origin_allowed(origin, host, scheme, loopback, host_refused):
            return Refuse(403, "Forbidden: this Origin is not allowed here (see allowed_origins)")
        if host_refused:
            return Refuse(421, "Misdirected request: this Host is not served here; name it in allowed_hosts")
        if host is not None and "," in host:
            return Refuse(400, "Bad request: a request has one Host")
        return None

    def _hosts_apply(self, loopback: bool) -> bool:
        return bool(self._hosts) or loopback

    def _host_allowed(self, host: str | None) -> bool:
        if host is None or "@" in host or "/" in host:
            return False
        name, _ = _split(host.lower())
        if name in _LOOPBACK_HOSTS:
            return True
        return any(fnmatchcase(host.lower(), allowed) or fnmatchcase(name, allowed) for allowed in self._hosts)

    def _origin_allowed(self, origin: str, host: str | None, scheme: str, loopback: bool, host_refused: bool) -> bool:
        origin = origin.lower()
        if any(fnmatchcase(origin, allowed) for allowed in self._origins):
            return True
        try:
            parts = urlsplit(origin)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return False
        if parts.scheme not in _PORTS or not parts.hostname or f"{parts.scheme}://{parts.netloc}" != origin:
            return False
        if loopback and parts.hostname in _LOOPBACK_HOSTS:
            return True
        if host is None or host_refused:
            return False
        name, own_port = _split(host.lower())
        # A proxy that ends TLS speaks http to us: the default ports of both schemes are the same origin then.
        same_port = port == (own_port or _PORTS.get(scheme)) or (own_port is None and port == _PORTS[parts.scheme])
        return parts.hostname == name and same_port


def _text(field: bytes | None) -> str | None:
    return None if field is None else field.decode("latin-1").strip(" \t")


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in _LOOPBACK_ADDRESSES


def _listed(names: Iterable[str] | None) -> Iterable[str]:
    """One name is a list of one: taken letter by letter, a ``*`` in it would allow everyone."""
    return (names,) if isinstance(names, str) else names or ()


def _split(host: str) -> tuple[str, int | None]:
    """Name and port of a Host field; the brackets of an IPv6 address are taken away."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None
