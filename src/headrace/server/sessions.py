"""State that lasts from call to call, in every revision: it belongs to who authenticated, not to a connection.

* ``session: UserSession``: one bucket per user, filled in by the framework; needs authentication.
* ``session_id: SessionId``: a handle that the client got from `SessionProvider`'s tool and passes back;
  `get_session` opens it.

Every record is kept under its owner, so a handle opens nothing for anyone else. Without authentication there is one
owner, "anonymous": whoever knows a handle can use it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec
import pydantic_core
from pydantic import Field

from ..components.context import Context
from ..components.dependencies import get_context
from ..components.injection import Dependency, Resolver
from ..exceptions import ToolError

if TYPE_CHECKING:
    from .server import FastMCP

__all__ = [
    "CurrentSession",
    "InvalidSession",
    "MemoryStateStore",
    "OptionalCurrentSession",
    "Session",
    "SessionAuthError",
    "SessionId",
    "SessionProvider",
    "SessionStates",
    "StateStore",
    "UserSession",
    "create_session",
    "end_session",
    "get_session",
]

T = TypeVar("T")
State = dict[str, Any]

_HANDLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SessionAuthError(ToolError):
    """A `UserSession` was asked for in a call of nobody in particular."""


class InvalidSession(ToolError):
    """No session of the caller has this handle; it does not say whether somebody else's has."""


class StateStore(Protocol):
    """Records by key; a record is a JSON object. How long they are kept is the store's affair.

    The stores of the ``py-key-value`` package fit as they are.
    """

    async def get(self, key: str) -> Mapping[str, Any] | None:
        """The record; None where there is none."""
        ...

    async def put(self, key: str, value: dict[str, Any]) -> None: ...

    async def delete(self, key: str) -> Any: ...


class MemoryStateStore:
    """The default `StateStore`: in this process, gone with it.

    Bounded in records and in the bytes of their JSON: past either, the ones longest idle (neither read nor written)
    give way.
    """

    def __init__(
        self, *, max_records: int = 10_000, max_bytes: int = 64 * 1024 * 1024, max_record_bytes: int = 1024 * 1024
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._max_record_bytes = min(max_record_bytes, max_bytes)
        self._records: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    async def get(self, key: str) -> dict[str, Any] | None:
        body = self._records.get(key)
        if body is None:
            return None
        self._records.move_to_end(key)
        return msgspec.json.decode(body)

    async def put(self, key: str, value: dict[str, Any]) -> None:
        """Raises ToolError for a record that is too large."""
        body = msgspec.json.encode(value)
        if len(body) > self._max_record_bytes:
            raise ToolError(f"The state of a session is at most {self._max_record_bytes} bytes of JSON")
        await self.delete(key)
        self._records[key] = body
        self._bytes += len(body)
        while len(self._records) > self._max_records or self._bytes > self._max_bytes:
            self._bytes -= len(self._records.popitem(last=False)[1])

    async def delete(self, key: str) -> None:
        self._bytes -= len(self._records.pop(key, b""))


class SessionStates:
    """The session states of one server. Changes of one record go one after the other, so that none is lost; over
    several processes with one store the last to write wins."""

    def __init__(self, store: StateStore | None = None) -> None:
        self._store = MemoryStateStore() if store is None else store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read(self, key: str) -> State | None:
        """What is kept under the key; None where there is no record."""
        record = await self._store.get(key)
        return None if record is None else dict(cast("State", record.get("state") or {}))

    async def change(self, key: str, change: Callable[[State | None], State]) -> None:
        """Keep what `change` makes of what is there, with no other change in between."""
        async with self._lock(key):
            await self._store.put(key, {"state": change(await self.read(key))})

    async def end(self, key: str) -> None:
        async with self._lock(key):
            await self._store.delete(key)

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


class Session:
    """One bucket of state; values are JSON. `id` is its handle, None for a `UserSession`."""

    __slots__ = ("_key", "_states", "id")

    def __init__(self, states: SessionStates, key: str, id: str | None) -> None:
        self._states = states
        self._key = key
        self.id = id

    async def get(self, key: str, default: Any = None) -> Any:
        return (await self._states.read(self._key) or {}).get(key, default)

    async def set(self, key: str, value: Any) -> None:
        """Raises TypeError for a value that JSON can't hold, InvalidSession where the session has ended."""
        try:
            plain = pydantic_core.to_jsonable_python(value, by_alias=True)
        except ValueError as error:
            raise TypeError(f"Session state is JSON, which {key!r} is not: {error}") from None
        await self._change(lambda state: {**state, key: plain})

    async def delete(self, key: str) -> None:
        """Nothing where the key is not there."""
        await self._change(lambda state: {name: value for name, value in state.items() if name != key})

    async def clear(self) -> None:
        """Forget all values; the session itself stays."""
        await self._change(lambda state: {})

    async def _change(self, change: Callable[[State], State]) -> None:
        def checked(state: State | None) -> State:
            if state is None and self.id is not None:
                raise _invalid()
            return change(state or {})

        await self._states.change(self._key, checked)


class _UserSession(Dependency):
    def __init__(self, optional: bool = False) -> None:
        self._optional = optional

    def optional(self) -> Dependency:
        return _UserSession(optional=True)

    async def resolve(self, resolver: Resolver) -> Session | None:
        context = resolver.context
        if context.call.principal is None:
            if self._optional:
                return None
            raise SessionAuthError(
                "A UserSession belongs to who is logged in, and nobody is: turn authentication on, "
                "or take a session_id: SessionId instead"
            )
        return Session(_states(context), f"user:{_owner(context)}", None)


UserSession = Annotated[Session, _UserSession()]
"""A parameter of this type is the caller's own `Session`; clients don't see it. Raises SessionAuthError where nobody
authenticated."""

SessionId = Annotated[
    str,
    Field(
        description="Handle of a session: create a session with the tool for it, then pass its handle in every call "
        "that belongs to it."
    ),
]
"""A parameter of this type is a handle that the client passes; `get_session` opens it."""


def CurrentSession() -> Any:
    """`UserSession` as a default: ``session: Session = CurrentSession()``."""
    return _UserSession()


def OptionalCurrentSession() -> Any:
    """As `CurrentSession`, and None where nobody authenticated."""
    return _UserSession(optional=True)


async def get_session(session_id: str) -> Session:
    """The caller's session with this handle. Raises InvalidSession for a handle that was never given to the caller,
    or has ended; RuntimeError outside of a call."""
    context = get_context()
    if not _HANDLE.fullmatch(session_id):
        raise _invalid()
    states, key = _states(context), _key(context, session_id)
    if await states.read(key) is None:
        raise _invalid()
    return Session(states, key, session_id)


async def create_session() -> str:
    """Create a session and return its handle. Pass it as session_id in later calls, to keep state between them."""
    context = get_context()
    handle = secrets.token_urlsafe(24)
    await _states(context).change(_key(context, handle), lambda state: state or {})
    return handle


async def end_session(session_id: SessionId) -> str:
    """End a session and forget all of its state."""
    await get_session(session_id)
    context = get_context()
    await _states(context).end(_key(context, session_id))
    return "session ended"


class SessionProvider:
    """Gives a server the tools `create_session` and `end_session`: ``mcp.add_provider(SessionProvider())``."""

    def register(self, server: FastMCP) -> None:
        server.add_tool(create_session)
        server.add_tool(end_session)


def _states(context: Context) -> SessionStates:
    return context.fastmcp.session_states


def _key(context: Context, handle: str) -> str:
    return f"session:{_owner(context)}:{handle}"


def _owner(context: Context) -> str:
    """Who calls, as a part of a key: hashed, since an id may hold anything, and keys end up in logs."""
    principal = context.call.principal
    if principal is None:
        return "anonymous"
    return hashlib.sha256(principal.id.encode("utf-8", "surrogatepass")).hexdigest()


def _invalid() -> InvalidSession:
    return InvalidSession("No such session: create one first; this one has ended, or it was never yours")
