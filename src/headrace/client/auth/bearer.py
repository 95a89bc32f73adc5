"""A token that the user has already."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from ..transports.base import MakeHttp, Send
from .documents import bearer_text

__all__ = ["BearerAuth"]


class BearerAuth:
    """The same as ``auth="token"``, as an object."""

    def __init__(self, token: str) -> None:
        self._token = bearer_text(token)

    def bind(self, url: str, http_client: MakeHttp | None) -> None:
        pass

    def on_login(self, call: Callable[[], None]) -> None:
        pass

    async def send(self, method: str, url: str, send: Send) -> httpx2.Response:
        return await send({"authorization": f"Bearer {self._token}"})
