"""The one way in which a server fetches a URL on behalf of somebody: it can't be led into a private network.

The name is resolved once, every address is checked, and the connection goes to a checked address, so that a second
answer of the DNS changes nothing; TLS and ``Host`` keep the name. Proxies, cookies and ``.netrc`` are not used, and
redirects are not followed: where they may be, the caller fetches the next URL, which is checked in the same way.
(2026-07-28, basic, security best practices, Server-Side Request Forgery)
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from ssl import SSLContext
from typing import NamedTuple

import httpx2

from ...exceptions import FetchError

__all__ = ["Fetched", "NotPublic", "Resolve", "fetch", "is_public", "resolve_name"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> addresses as text. Raises OSError for a name that stands for none."""

_MAX_ADDRESSES = 4
"""As many addresses of a host are tried."""

_PRIVATE = tuple(
    ip_network(each)
    for each in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""What `allow_private` opens; link-local addresses, multicast and the like stay closed."""
_METADATA = tuple(
    ip_network(each) for each in ("168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::254/128")
)
"""Services of clouds that hand out credentials and are not link-local; never fetched."""
_PUBLIC_IPV6 = ip_network("2000::/3")
"""All else is no global unicast: among it are IPv4-mapped and -compatible addresses and NAT64."""
_CLOSED = tuple(
    ip_network(each)
    for each in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
"""Not public, or gateways to what is not; Python's versions do not agree on some."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_PORTS = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526),
        *(530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659),
        *(4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
"""Mail, directories and the like: no browser fetches from these (WHATWG Fetch, port blocking)."""
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
"""In the addresses of tunnels (RFC 5214, 6.1): behind it stands an IPv4 address."""

Address = IPv4Address | IPv6Address


class NotPublic(FetchError):
    """`allow_private` would have allowed it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back, whatever its status; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    url: str,
    *,
    method: str = "GET",
    content: bytes | None = None,
    max_bytes: int,
    timeout: float,
    allow_private: bool = False,
    headers: Mapping[str, str] | None = None,
    resolve: Resolve | None = None,
    tls: SSLContext | None = None,
) -> Fetched:
    """One request to the URL. `timeout` is in seconds, for all of it.

    Only https, and only to public addresses. `allow_private` allows those of one's own networks, too, and plain http
    to this machine. `tls` None: the system's certificates. Raises FetchError, also for a longer body.
    """
    target = _target(url)
    try:
        async with asyncio.timeout(timeout):
            addresses = await _checked(target, allow_private, resolve or resolve_name)
            request = _Request(method, content, headers or {}, max_bytes, timeout)
            return await _ask(target, addresses, request, tls or _system_certificates())
    except TimeoutError:
        raise FetchError(f"{_origin(target)} did not answer within {timeout:g} seconds") from None


async def resolve_name(host: str, port: int, *, threads: Executor | None = None) -> list[str]:
    """The addresses of a host, as the system resolves it. Raises OSError.

    A lookup holds a thread for as long as the host's DNS likes, whatever the timeout: hosts that anybody can name
    have `threads` of their own, and all other lookups go on.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(threads, ask)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_public(address: Address) -> bool:
    """Whether the address is one machine on the public internet, and no gateway to another network."""
    if not address.is_global or address.is_multicast or _is_in(address, _METADATA) or _is_in(address, _CLOSED):
        return False
    return isinstance(address, IPv4Address) or (address in _PUBLIC_IPV6 and address.packed[8:12] not in _ISATAP)


def _target(url: str) -> httpx2.URL:
    try:
        target = httpx2.URL(url)
        host = _host(target)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise FetchError(f"This is no URL to fetch: {_line(error)}") from None
    if target.scheme not in ("https", "http") or not target.host:
        raise FetchError("Only https:// URLs are fetched")
    if target.userinfo:
        raise FetchError("A URL with a user name or password is not fetched")
    if not _literal(host) and not _is_name(host):
        # Another program may read another host out of it.
        raise FetchError("This is no URL to fetch: its host is neither a name nor an address in its usual form")
    if target.port is not None and (target.port in _BAD_PORTS or not 0 < target.port < 65536):
        raise FetchError(f"This is no URL to fetch: port {target.port} is none of the web")
    return target


def _literal(host: str) -> Address | None:
    try:
        return None if "%" in host else ip_address(host)  # with a zone it is of this machine's networks
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    """A name whose end is a number is read as an address by some, as decimal, octal or hexadecimal."""
    return bool(_NAME.fullmatch(host)) and len(host) <= 253 and not _NUMBER.fullmatch(host.rpartition(".")[2])


async def _checked(target: httpx2.URL, allow_private: bool, resolve: Resolve) -> list[Address]:
    """The addresses to try. One that is refused refuses the URL: its owner means to lead astray."""
    origin = _origin(target)
    plain = target.scheme == "http"
    if plain and not allow_private:
        raise FetchError(f"Only https:// URLs are fetched, not {origin}")
    try:
        texts = await resolve(_host(target), target.port or (80 if plain else 443))
        addresses = [ip_address(each) for each in texts]
    except (OSError, ValueError) as error:  # UnicodeError, which is a ValueError, for a name that can't be one
        raise FetchError(f"The host of {origin} can't be found: {_line(error)}") from None
    if not addresses:
        raise FetchError(f"The host of {origin} can't be found: it has no address")
    for address in addresses:
        if plain and not address.is_loopback:
            raise FetchError(f"Plain http goes only to this machine, not to {origin}: use https")
        if not is_public(address) and not (allow_private and _is_private(address)):
            raise NotPublic(f"{origin} is not fetched: {address} is no public address")
    return addresses[:_MAX_ADDRESSES]


def _is_private(address: Address) -> bool:
    return _is_in(address, _PRIVATE) and not _is_in(address, _METADATA)


def _is_in(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


class _Request(NamedTuple):
    method: str
    content: bytes | None
    headers: Mapping[str, str]
    max_bytes: int
    timeout: float


async def _ask(target: httpx2.URL, addresses: Sequence[Address], request: _Request, tls: SSLContext) -> Fetched:
    sent = {
        "user-agent": "headrace",
        **{name.lower(): value for name, value in request.headers.items()},
        "accept-encoding": "identity",  # a compressed body would hide its size
        "host": target.netloc.decode("ascii"),
    }
    failure: httpx2.HTTPError | None = None
    limit = httpx2.Timeout(request.timeout, connect=request.timeout / len(addresses))
    # A client per fetch: nothing of one (cookies, connections) reaches another.
    async with httpx2.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=limit) as client:
        for address in addresses:
            pinned = target.copy_with(host=str(address), fragment=None)
            try:
                async with client.stream(
                    request.method,
                    pinned,
                    headers=sent,
                    content=request.content,
                    extensions={"sni_hostname": _host(target)},
                ) as response:
                    return await _received(response, _origin(target), request.max_bytes)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except httpx2.HTTPError as error:
                failure = error
                break
    assert failure is not None
    raise FetchError(f"{_origin(target)} can't be fetched: {_line(failure)}") from None


async def _received(response: httpx2.Response, origin: str, max_bytes: int) -> Fetched:
    too_long = f"{origin} answered with more than {max_bytes} bytes"
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchError(f"{origin} answered with a compressed body, which was not asked for")
    length = response.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise FetchError(too_long)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(too_long)
    return Fetched(response.status_code, dict(response.headers), bytes(body))


@cache
def _system_certificates() -> SSLContext:
    return httpx2.create_ssl_context()


def _host(target: httpx2.URL) -> str:
    return target.raw_host.decode("ascii").strip("[]").rstrip(".")


def _origin(target: httpx2.URL) -> str:
    return f"{target.scheme}://{target.netloc.decode('ascii')}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
