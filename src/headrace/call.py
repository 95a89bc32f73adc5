"""The spine: one request on its way to an answer.

Everything that can answer is a `Handler`: a tool, the whole server, a mounted server, a proxy, any of
them wrapped in middleware. Transports make a `Call`, hand it to the handler, and carry the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Raw, Struct

from .protocol.types import Params, Result, SubscriptionFilter
from .redaction import secrets_of

if TYPE_CHECKING:
    from .protocol.types import ClientCapabilities, Implementation
    from .protocol.versions import Era

__all__ = ["Answer", "Call", "Encoded", "Handler", "Peer", "Principal", "Served"]

T = TypeVar("T")


class Principal:
    """Who is asking, once authentication has answered: `id` binds sessions and request state.

    `challenge` makes the ``WWW-Authenticate`` value that asks for more scopes; None where that can't be asked for.
    """

    __slots__ = ("challenge", "id", "token")

    def __init__(self, id: str, token: Any = None, challenge: Callable[[Sequence[str]], str] | None = None) -> None:
        self.id = id
        self.token = token
        self.challenge = challenge


class Peer(Protocol):
    """The other side, as seen from a call: an envelope (2026-07-28) or a session (before)."""

    @property
    def era(self) -> Era: ...

    @property
    def transport(self) -> str: ...

    @property
    def session_id(self) -> str | None: ...

    @property
    def client_info(self) -> Implementation | None: ...

    @property
    def capabilities(self) -> ClientCapabilities: ...

    @property
    def log_level(self) -> str | None:
        """The lowest level of log notes the client wants; None: what its revision says (all; none in 2026-07-28)."""
        ...

    async def note(self, method: str, params: Any) -> None:
        """Send a notification that belongs to this call."""
        ...

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        """Ask the client; what `check` makes of its result.

        `check` raises ValidationError for an answer that does not fit: a replayed call then asks again,
        a session raises it. Raises UnsupportedByClient where this transport or mode can't carry a question.
        """
        ...

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """The function's result, which is JSON; not run again when the call is replayed."""
        ...

    def occurrence(self, what: str) -> int:
        """How often this was counted before in this run of the call: the same at each replay."""
        ...

    @property
    def heard(self) -> Sequence[Raw]:
        """The client's answers to the questions of this call, so far."""
        ...

    def input_responses(self) -> Mapping[str, Raw]:
        """The client's answers that came with this request, by key."""
        ...

    @property
    def request_state(self) -> str | None:
        """What the function put into the InputRequiredResult it returned in the round before."""
        ...

    async def get_state(self, key: str) -> Any: ...

    async def set_state(self, key: str, value: Any) -> None: ...

    async def delete_state(self, key: str) -> None: ...

    async def set_log_level(self, level: str) -> None: ...

    async def subscribe(self, uri: str, wanted: bool) -> None: ...

    async def close_stream(self) -> None:
        """Close the call's stream early so that the client polls; nothing where it could not resume."""
        ...


class Call(Struct, eq=False):
    """One request: what is asked, in which revision, by whom.

    `params` are the members that every method shares, `raw` all params as they came.
    """

    method: str
    params: Params
    raw: Raw
    id: int | str | None
    peer: Peer
    principal: Principal | None = None
    scope: Any = None
    """The ASGI scope of the HTTP request that carried the call; None elsewhere."""

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.id!r}>"  # neither arguments nor credentials

    @property
    def secrets(self) -> list[str]:
        """What came with it and is not for a log."""
        return secrets_of(self.raw, self.scope, self.peer.heard)

    @property
    def era(self) -> Era:
        """The revision that is spoken."""
        return self.peer.era


class Encoded(Struct, eq=False):
    """A result that is bytes already: a JSON object, complete for the call's revision."""

    body: bytes


Answer = Result | Encoded | SubscriptionFilter
"""What a call is answered with. `subscriptions/listen` gets the SubscriptionFilter it is granted; its stream is made
by the transport."""

Handler = Callable[[Call], Awaitable[Answer]]
"""Answers a call, or raises: see `protocol.errors` for what an exception becomes on the wire."""


class Served(Protocol):
    """What a transport needs of a server."""

    @property
    def extension_methods(self) -> Container[str]:
        """Methods the server has beside the specification's."""
        ...

    @property
    def serve(self) -> Handler: ...

    def stamp(self, era: Era) -> bytes:
        """The server's Implementation as JSON, put into the ``_meta`` of results."""
        ...

    def mirrored(self, tool: str) -> Mapping[str, tuple[tuple[str, ...], str]]:
        """Arguments that HTTP headers mirror: lower-case header -> (path in the arguments, type)."""
        ...

    def on_change(self, notice: Callable[[str, str | None], None]) -> Callable[[], None]:
        """Call `notice(method, uri)` at every change; the return value ends that."""
        ...
