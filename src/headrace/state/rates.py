"""How often a caller may ask: token buckets, one per caller, in this process.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm, ITU-T I.371): what a
bucket of `burst` tokens that fills at `per_second` lets through. A bucket that is full is forgotten.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..settings import RATE

__all__ = ["Buckets", "Held", "RateLimit", "caller_of", "network_of"]

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
MAX_CALLERS = 50_000
"""Buckets that are not full; past it the one longest not asked is forgotten. A few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests per second, and `burst` of them at once after a quiet time."""

    per_second: float
    burst: int

    @staticmethod
    def of(given: RateLimit | str) -> RateLimit:
        """From text: ``10/s``, ``600/m``, ``100/h``, with another burst ``10/s:50`` (without: one second's, or one).

        Raises ValueError for other text.
        """
        if isinstance(given, RateLimit):
            return given
        match = RATE.fullmatch(given)
        if match is None:
            raise ValueError(f"A rate limit is written like 10/s, 600/m or 10/s:50, not {given!r}")
        per_second = int(match[1]) / _SECONDS[match[2]]
        return RateLimit(per_second, int(match[3]) if match[3] else max(1, round(per_second)))


class Buckets:
    """One bucket for each caller; which one has been asked last is known, so that memory is bounded."""

    def __init__(
        self,
        limit: RateLimit,
        *,
        max_callers: int = MAX_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 1 / limit.per_second
        self._depth = self._interval * (limit.burst - 1)
        self._max_callers = max_callers
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    @staticmethod
    def of(limit: RateLimit | str | None) -> Buckets | None:
        """None where there is no limit. Raises ValueError as `RateLimit.of`."""
        return None if limit is None else Buckets(RateLimit.of(limit))

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: str) -> float:
        """Take a token: 0.0; or the seconds until there is one."""
        now, buckets = self._clock(), self._full_at
        full_at = buckets.get(caller)
        if full_at is None:
            self._make_room(now)
            buckets[caller] = now + self._interval
            return 0.0
        if full_at - now > self._depth:
            return full_at - now - self._depth
        buckets[caller] = max(full_at, now) + self._interval
        buckets.move_to_end(caller)
        return 0.0

    def give_back(self, caller: str) -> None:
        """The token that was taken last."""
        if caller in self._full_at:
            self._full_at[caller] -= self._interval

    def _make_room(self, now: float) -> None:
        """Forget full buckets, two for one that comes, so that what is kept follows what is in use."""
        for _ in range(2):
            if self._full_at and next(iter(self._full_at.values())) <= now:
                self._full_at.popitem(last=False)
        while len(self._full_at) >= self._max_callers:
            self._full_at.popitem(last=False)


class Held(Counter[str]):
    """How much each caller holds now; nothing is kept of one that holds nothing."""

    def release(self, caller: str) -> None:
        self[caller] -= 1
        if not self[caller]:
            del self[caller]


def caller_of(principal: str | None, scope: Mapping[str, Any] | None) -> str:
    """Who is counted together: a principal, or a network where nobody authenticated.

    The address is that of the connection (``scope["client"]``): behind a proxy it is the proxy's, unless the HTTP
    server takes it from the proxy's headers (uvicorn: ``--forwarded-allow-ips``). Without an address (a Unix socket,
    stdio, memory) there is one caller.
    """
    if principal is not None:
        return f"principal {principal}"
    client = None if scope is None else scope.get("client")
    return network_of(client[0]) if client else "local"


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 subscriber has (RFC 6177)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"host {host}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"network {address.ipv4_mapped}"
        return f"network {ipaddress.IPv6Network((address, 64), strict=False)}"
    return f"network {address}"
