"""A client that is only a record: what a server tells it and asks it, in any revision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from headrace import FastMCP
from headrace.call import Call, Encoded, Principal
from headrace.protocol.jsonrpc import encode
from headrace.protocol.results import encode_result_object
from headrace.protocol.types import ClientCapabilities, Params, Result, SubscriptionFilter
from headrace.protocol.versions import LATEST, Era

EVERYTHING = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}


class FakePeer:
    """Answers questions from `answers`, in order; keeps what it is told."""

    transport = "fake"
    client_info = None
    heard: tuple[Raw, ...] = ()

    def __init__(
        self,
        era: Era = LATEST,
        *,
        answers: list[Any] | None = None,
        capabilities: dict[str, Any] | None = None,
        log_level: str | None = None,
        input_responses: dict[str, Any] | None = None,
    ) -> None:
        self.era = era
        self.session_id = "s1" if era.handshake else None
        self.log_level = log_level
        self.capabilities = msgspec.convert(EVERYTHING if capabilities is None else capabilities, ClientCapabilities)
        self.answers = answers or []
        self.responses = input_responses or {}
        self.request_state: str | None = None
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.questions: list[tuple[str, dict[str, Any], str | None]] = []
        self.subscribed: list[tuple[str, bool]] = []
        self.state: dict[str, Any] = {}
        self.closed = 0

    async def note(self, method: str, params: Any) -> None:
        self.notes.append((method, msgspec.json.decode(encode(params))))

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], Any]) -> Any:
        self.questions.append((method, msgspec.json.decode(encode(params)), key))
        return check(Raw(encode(self.answers.pop(0))))

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        return await function()

    def occurrence(self, what: str) -> int:
        return 0

    def input_responses(self) -> Mapping[str, Raw]:
        return {key: Raw(encode(value)) for key, value in self.responses.items()}

    async def get_state(self, key: str) -> Any:
        return self.state.get(key)

    async def set_state(self, key: str, value: Any) -> None:
        self.state[key] = value

    async def delete_state(self, key: str) -> None:
        self.state.pop(key, None)

    async def set_log_level(self, level: str) -> None:
        self.log_level = level

    async def subscribe(self, uri: str, wanted: bool) -> None:
        self.subscribed.append((uri, wanted))

    async def close_stream(self) -> None:
        self.closed += 1


class Asker:
    """Sends calls to a server as a transport would, and decodes what would go over the wire."""

    peer_type = FakePeer

    async def __call__(
        self,
        server: FastMCP,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        peer: FakePeer | None = None,
        principal: Principal | None = None,
        scope: Any = None,
    ) -> Any:
        raw = Raw(encode(params or {}))
        peer = peer or FakePeer()
        call = Call(
            method,
            msgspec.json.decode(raw, type=Params),
            raw,
            id=1,
            peer=peer,
            principal=principal,
            scope=scope,
        )
        answer = await server.serve(call)
        if isinstance(answer, Encoded):
            return msgspec.json.decode(answer.body)
        if isinstance(answer, SubscriptionFilter):
            return msgspec.json.decode(encode(answer))
        assert isinstance(answer, Result)
        wire = msgspec.json.decode(encode_result_object(answer, peer.era, server.stamp(peer.era)))
        wire.pop("_meta", None)
        return wire


@pytest.fixture
def ask() -> Asker:
    return Asker()


@pytest.fixture
def make_peer() -> type[FakePeer]:
    return FakePeer
