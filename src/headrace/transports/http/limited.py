"""How often who may come in: 429 with ``Retry-After`` (RFC 6585, 4), before the body of a request is read."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from ...call import Principal
from ...state.rates import Buckets, caller_of
from .answer import Denied, Refuse, retry_after
from .entrance import Authenticate, send_denied
from .stream import Receive, Send

__all__ = ["LimitedRoutes", "limited"]

Scope = MutableMapping[str, Any]


def limited(buckets: Buckets, authenticate: Authenticate | None) -> Authenticate:
    """`authenticate`, and a 429 for who comes too often: principals, or addresses where nobody authenticates.

    An address pays for what is refused, too, and with nothing left it is not looked at any more: guessing tokens
    costs the verifier nothing.
    """

    async def enter(scope: Scope) -> Principal | None:
        address = caller_of(None, scope)
        # Paid before the verifier is asked: of many guesses at once no more reach it than of many in turn.
        _pay(buckets.take(address))
        if authenticate is None:
            return None
        try:
            principal = await authenticate(scope)
        except Denied as denied:
            if denied.refusal.status >= 500:
                buckets.give_back(address)
            raise
        if principal is not None:
            buckets.give_back(address)
            _pay(buckets.take(caller_of(principal.id, scope)))
        return principal

    return enter


def _pay(wait: float) -> None:
    """Raises Denied where it is not paid."""
    if wait:
        raise Denied(Refuse(429, f"Too many requests: try again in {math.ceil(wait)} s", headers=retry_after(wait)))


class LimitedRoutes:
    """Pure ASGI: the same for routes that nothing else counts; `without` are the paths of the others."""

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], buckets: Buckets, without: Collection[str]
    ) -> None:
        self._app = app
        self._enter = limited(buckets, None)
        self._without = without

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) not in self._without:
            try:
                await self._enter(scope)
            except Denied as denied:
                await send_denied(send, denied)
                return
        await self._app(scope, receive, send)
