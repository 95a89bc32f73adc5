"""What carries a client's messages.

A transport sends one request and waits for its response; whatever else comes with it (notes, questions) goes to
`hear`, in order. It knows nothing of tools or of what a revision's requests look like.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...exceptions import ClientError
from ...protocol.jsonrpc import Message, Response
from ...protocol.versions import Era

if TYPE_CHECKING:
    import httpx2

__all__ = ["Credentials", "Hear", "Lost", "MakeHttp", "Outgoing", "Refused", "Send", "Transport"]

Hear = Callable[[Message], Awaitable[None]]
"""Takes a notification or a question of the server; never raises."""
MakeHttp = Callable[[], "httpx2.AsyncClient"]
Send = Callable[[Mapping[str, str]], "Awaitable[httpx2.Response]"]
"""Sends one HTTP request with these headers, as often as it is called; its response is open."""


class Refused(ClientError):
    """The server refused at the level of HTTP, without a JSON-RPC answer to the request."""

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server wants to be left alone (RFC 9110, 10.2.3); None where it says nothing."""


class Lost(ClientError):
    """The connection failed. `sent` is False where nothing of the request can have reached the server."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Outgoing(NamedTuple):
    """One request on its way."""

    id: int | str
    method: str
    body: bytes
    headers: Mapping[str, str]
    """What the revision mirrors in headers; transports without headers leave it out."""


class Transport(Protocol):
    @property
    def name(self) -> str:
        """How messages call the server; without secrets."""
        ...

    @property
    def mirrors_headers(self) -> bool:
        """Whether `Outgoing.headers` are carried."""
        ...

    @property
    def session_id(self) -> str | None: ...

    async def open(self, hear: Hear) -> None:
        """Get ready. `hear` takes what belongs to no request. A closed transport can be opened again."""
        ...

    async def close(self) -> None:
        """End everything: no task and no socket is left. Never raises for a server that is gone."""
        ...

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        """The response. Cancelling this closes the request's stream.

        Raises Refused, Lost, or another ClientError where the server broke the protocol.
        """
        ...

    async def send(self, body: bytes) -> None:
        """Send a notification, or the answer to a question. Raises ClientError."""
        ...

    def agree(self, era: Era) -> None:
        """A handshake agreed on this revision."""
        ...

    async def listen(self) -> None:
        """From now on take messages that belong to no request (handshake era)."""
        ...


class Credentials(Protocol):
    """What signs the HTTP requests to one server, and may ask a user for it."""

    def bind(self, url: str, http_client: MakeHttp | None) -> None:
        """The server, and the user's own HTTP client. Raises ClientError where it is already bound to another."""
        ...

    async def send(self, method: str, url: str, send: Send) -> httpx2.Response:
        """The open response to the request. Raises ClientError, and whatever `send` raises."""
        ...

    def on_login(self, call: Callable[[], None]) -> None:
        """`call` is called when it may be another user who the requests are for."""
        ...
