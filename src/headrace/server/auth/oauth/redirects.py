"""Where a browser may be sent with a code: which redirect URIs may be registered, and which one matches.

What is registered is strict enough that every parser reads it alike (RFC 3986, WHATWG), so that comparing strings is
safe afterwards. (RFC 9700, 2.1 and 4.1; RFC 8252, 7 and 8.4; 2026-07-28, authorization, Open Redirection)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import unquote

from .contract import RegistrationError

__all__ = ["check_patterns", "check_redirect_uri", "is_loopback", "is_loopback_host", "matches", "parse_uri"]

_MAX_LENGTH = 2048
_APPS = frozenset({"claude", "cursor", "jetbrains", "raycast", "vscode", "vscode-insiders", "warp", "windsurf", "zed"})
"""Schemes of programs that people use; others have a dot (RFC 8252, 7.1), or are named by a pattern."""
_NEVER = re.compile(
    "about|acap|blob|cap|cid|content|data|dns|feed|file|filesystem|ftp|geo|gopher|intent|jar|jscript|javascript|ldaps?|"
    "livescript|mailto|mid|mocha|mms|nfs|nntp|resource|rtsp|sftp|sips?|smb|sms|ssh|tel|telnet|urn|vbs|vbscript|"
    "view-source|wss?|wyciwyg"
)
"""No pattern opens these: what browsers run or read themselves, or hand to what takes no answer of a login."""
_URI = re.compile(r"([a-z][a-z0-9+.-]*):(?://([^/?]*))?([^?]*)(\?.*)?")
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
"""RFC 3986's, without the fragment's."""
_HIDDEN = re.compile(r"%(?:[01][0-9a-f]|7f|5c)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_APP_AUTHORITY = re.compile(r"[A-Za-z0-9._-]*")
_DOTTED_SCHEME = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PATTERN = re.compile(
    r"([a-z][a-z0-9+.-]*):(?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.*_-]*)(?::([0-9]+|\*))?)?(/[^?#\s\\@]*)?"
)


class _Uri(NamedTuple):
    scheme: str
    host: str | None
    """As written; None without an authority."""
    port: int | None
    path: str
    query: str


def check_redirect_uri(uri: str, patterns: Sequence[str] | None = None) -> None:
    """Raises RegistrationError("invalid_redirect_uri") for what no client may register.

    Allowed: https, http to this machine, schemes of apps. `patterns` allow less: one of them must match
    (``https://*.example.com/callback``, ``http://localhost:*``); a pattern with an app's scheme opens that scheme.
    """
    found = parse_uri(uri)
    named = [_pattern(each) for each in patterns or ()]
    if found.scheme == "http" and not is_loopback(uri):
        raise _refused("http goes only to this machine (localhost, 127.0.0.1, [::1]): use https")
    if found.scheme not in ("https", "http") and not _is_app(found.scheme, {each[0] for each in named}):
        raise _refused(f"{found.scheme}: is no scheme for it; an app's own has a dot (com.example.app:/callback)")
    if patterns is not None and not any(_fits(found, each) for each in named):
        raise _refused("this server does not allow it")


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError for what is no pattern."""
    for pattern in patterns:
        _pattern(pattern)


def matches(registered: Iterable[str], asked: str) -> bool:
    """Whether `asked` is one of those registered: the same string, but for the port on this machine (RFC 8252, 7.3)."""
    every = list(registered)
    if asked in every:
        return True
    try:
        if not is_loopback(asked):
            return False
        found = parse_uri(asked)._replace(port=None)
        return any(parse_uri(each)._replace(port=None) == found for each in every)
    except RegistrationError:
        return False


def is_loopback(uri: str) -> bool:
    """Whether it leads to a program on the user's own machine over http. Raises RegistrationError for no URI."""
    found = parse_uri(uri)
    if found.scheme != "http" or found.host is None:
        return False
    return is_loopback_host(found.host)


@lru_cache(maxsize=1024)
def parse_uri(uri: str) -> _Uri:
    """Its parts, if every parser reads the same out of it. Raises RegistrationError("invalid_redirect_uri")."""
    if len(uri) > _MAX_LENGTH:
        raise _refused(f"it is longer than {_MAX_LENGTH} characters")
    if "#" in uri:
        raise _refused("it must have no fragment")
    if not _CHARACTERS.fullmatch(uri) or _HIDDEN.search(uri):
        raise _refused("it has a character that a URI must not have")
    match = _URI.fullmatch(uri)
    if match is None:
        raise _refused("it is no absolute URI with its scheme in lower case")
    scheme, authority, path, query = match.groups()
    if _has_dot_segments(path):
        raise _refused("its path must have no . or .. segments")
    if scheme in ("https", "http"):
        host, port = _place(authority or "")
        return _Uri(scheme, host, port, path, query or "")
    if authority is not None and not _APP_AUTHORITY.fullmatch(authority):
        raise _refused("what follows // is no name")
    return _Uri(scheme, authority, None, path, query or "")


def _refused(why: str) -> RegistrationError:
    return RegistrationError("invalid_redirect_uri", f"The redirect URI can't be used: {why}")


def _place(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _refused("it needs a host and nothing else between // and the path (no user name, no wildcard)")
    host, port = match[1], int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        raise _refused(f"there is no port {port}")
    if host.startswith("["):
        if not _is_plain_ipv6(host[1:-1]):
            raise _refused("its address is none")
    elif len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise _refused("its host is no name")
    elif _NUMBER.fullmatch(host.rpartition(".")[2]) and not _is_ipv4(host):
        raise _refused("its address is not written as four decimal numbers")
    return host, port


def _is_plain_ipv6(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return isinstance(address, IPv6Address) and address.ipv4_mapped is None


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether the name or address stands for this machine (RFC 6761, 6.3)."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_dot_segments(path: str) -> bool:
    """However often it is decoded: a server behind may do it once more than it should."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return any(segment.partition(";")[0] in (".", "..") for segment in re.split(r"[/\\]", path))


def _is_app(scheme: str, named: set[str]) -> bool:
    if _NEVER.fullmatch(re.split(r"[.+]", scheme)[0]):
        return False
    return scheme in _APPS or scheme in named or _DOTTED_SCHEME.fullmatch(scheme) is not None


# Patterns


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> tuple[str, str | None, str | None, str | None]:
    """Its scheme, host, port and path."""
    match = _PATTERN.fullmatch(pattern)
    if match is None or (match[1] in ("https", "http") and not match[2]) or _NEVER.fullmatch(match[1]):
        raise ValueError(
            f"{pattern!r} is no pattern of redirect URIs: write a URI with * in its host, port or path, "
            "such as https://*.example.com/callback or http://localhost:*"
        )
    return match[1], match[2], match[3], match[4]


def _fits(found: _Uri, pattern: tuple[str, str | None, str | None, str | None]) -> bool:
    """Part by part, so that a * never reaches into the next one. A pattern without a path (or /) allows each."""
    scheme, host, port, path = pattern
    if found.scheme != scheme or not _host_fits(found.host or "", host or ""):
        return False
    default = {"https": 443, "http": 80}.get(scheme)
    if port is None:
        if not is_loopback_host(host or "") and (found.port or default) != default:
            return False
    elif port != "*" and (found.port or default) != int(port):
        return False
    return path in (None, "/") or _glob(path or "", found.path or "/", ".*")


def _host_fits(host: str, pattern: str) -> bool:
    host, pattern = host.lower(), pattern.lower()
    if pattern.startswith("*."):  # one label or several, and not the name itself
        rest = pattern[1:].count(".")
        labels = host.split(".")
        return len(labels) > rest and _glob(pattern[2:], ".".join(labels[-rest:]), "[^.]*")
    return _glob(pattern, host, "[^.]*")


def _glob(pattern: str, text: str, star: str) -> bool:
    return re.fullmatch(star.join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
