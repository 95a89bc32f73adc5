"""Questions of a call that is replayed (2026-07-28, multi round-trip requests).

A function that asks runs again at each retry, and every question finds its recorded answer by key. This
file is the bookkeeping of one call: which questions were asked in which order, which answers are known,
what is sealed into ``requestState``. It never waits and knows no clock and no cipher: both are handed in.

The state is opaque to the client and attacker-controlled on its way back. It is sealed together with
who asked (principal), an expiry, and a digest of the request it belongs to.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, Protocol, cast

import msgspec
from msgspec import Raw, Struct

from ..exceptions import InvalidParams, McpError, UnsupportedByClient
from .jsonrpc import encode
from .types import ClientCapabilities, InputRequest, InputRequiredResult

__all__ = ["MAX_ROUNDS", "MAX_STATE_BYTES", "Binding", "Rounds", "Sealer", "check_declared", "request_digest"]

MAX_ROUNDS = 32
"""Rounds one call may take before it is an error."""
MAX_STATE_BYTES = 256 * 1024
MAX_ANSWERS = 256

_canonical = msgspec.json.Encoder(order="deterministic").encode
_decode_any = msgspec.json.decode
_decode_answers = msgspec.json.Decoder(dict[str, Raw]).decode


class Sealer(Protocol):
    """Authenticated encryption of request state."""

    def seal(self, plain: bytes) -> str: ...

    def open(self, sealed: str) -> bytes | None:
        """The plain bytes, or None for anything that this key did not seal."""
        ...


class _Sealed(Struct, array_like=True):
    principal: str
    expires: float
    request: str
    round: int
    answers: dict[str, Raw]
    effects: dict[str, Raw]
    values: dict[str, Raw]
    open: list[str]
    """Keys of questions that were asked and have no answer yet."""


_decode_sealed = msgspec.json.Decoder(_Sealed).decode


_OWN_STATE = "headrace.request_state"


def request_digest(method: str, params: Raw) -> str:
    """A digest of what is asked, equal for a request and its retries: `_meta`, answers and state left out.

    Raises InvalidParams for numbers that no decoder holds.
    """
    try:
        members: dict[str, Any] = _decode_any(params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None
    for member in ("_meta", "inputResponses", "requestState"):
        members.pop(member, None)
    return hashlib.sha256(_canonical([method, members])).hexdigest()


def check_declared(result: InputRequiredResult, declared: ClientCapabilities) -> None:
    """Raises UnsupportedByClient for a question that the client did not declare it can answer."""
    for request in (result.input_requests or {}).values():
        missing = _missing_capability(request, declared)
        if missing is not None:
            raise UnsupportedByClient(f"The client can't answer {request.method}", capabilities=missing)


def _missing_capability(request: InputRequest, declared: ClientCapabilities) -> dict[str, Any] | None:
    """What the client would have to declare to be asked this; None where it did. An elicitation capability without
    modes means forms."""
    if request.method == "elicitation/create":
        mode = _elicitation_mode(request.params)
        modes = declared.elicitation
        if modes is None or not (mode in modes or (mode == "form" and "url" not in modes)):
            return {"elicitation": {mode: {}}}
    if request.method == "sampling/createMessage" and declared.sampling is None:
        return {"sampling": {}}
    if request.method == "roots/list" and declared.roots is None:
        return {"roots": {}}
    return None


def _elicitation_mode(params: Any) -> str:
    mode = cast("dict[str, Any]", params).get("mode") if isinstance(params, dict) else getattr(params, "mode", None)
    return mode or "form"


class Binding(NamedTuple):
    """What a sealed state is bound to, and what seals it."""

    digest: str
    principal: str
    expires: float
    """Seconds since the epoch."""
    sealer: Sealer


class Rounds:
    """The questions, answers and effects of one call.

    * receive: `Rounds.open` with what the client sent
    * while the function runs: `answer`, `wants`, `effect`, `keep`
    * then: `result` if `asked`
    """

    __slots__ = ("_answers", "_effects", "_fresh", "_occurrences", "_pending", "_round", "_used", "asked", "values")

    def __init__(self) -> None:
        self.asked: dict[str, InputRequest] = {}
        self.values: dict[str, Raw] = {}
        self._answers: dict[str, Raw] = {}
        self._effects: dict[str, Raw] = {}
        self._fresh: dict[str, Raw] = {}
        self._occurrences: dict[str, int] = {}
        self._pending: set[str] = set()
        self._used: set[str] = set()
        self._round = 0

    @classmethod
    def open(
        cls, *, sealed: str | None, responses: Raw, digest: str, principal: str, now: float, sealer: Sealer
    ) -> Rounds:
        """Raises InvalidParams for a state that is not ours, expired, of someone else or of another request."""
        rounds = cls()
        if responses:
            rounds._fresh = _answers(responses)
        if sealed is not None:
            state = _unseal(sealed, sealer)
            if state is None or state.principal != principal or state.request != digest:
                raise InvalidParams("Invalid requestState: it was not issued for this request")
            if state.expires < now:
                raise InvalidParams("Invalid requestState: it has expired, send the request again without it")
            rounds._answers, rounds._effects, rounds.values = state.answers, state.effects, state.values
            rounds._round, rounds._pending = state.round, set(state.open)
        return rounds

    @property
    def responses(self) -> dict[str, Raw]:
        """The answers that came with this very request."""
        return self._fresh

    def key(self, method: str, params: Any, key: str | None, within: str = "") -> str:
        """The key of a question: the caller's own, else a digest of it and how often it was asked before.

        `within` is the step it belongs to: a recorded step asks no more, so its questions count apart from others'.

        Raises McpError where one call asks twice under one key: both would get the first one's answer.
        """
        if key is not None:
            key = within + key
            if key in self._used:
                raise McpError(f"Two questions of one call have the key {key!r}")
            self._used.add(key)
            return key
        digest = hashlib.sha256(_canonical([within, method, params])).hexdigest()[:24]
        return f"{digest}-{self.occurrence(digest)}"

    def occurrence(self, what: str) -> int:
        """How often this was counted before in this run."""
        count = self._occurrences.get(what, 0)
        self._occurrences[what] = count + 1
        return count

    def answer(self, key: str) -> Raw | None:
        fresh = self._fresh.get(key)
        return fresh if fresh is not None else self._answers.get(key)

    def reject(self, key: str) -> None:
        """The answer does not fit: forget it, so that the question is asked again."""
        self._fresh.pop(key, None)
        self._answers.pop(key, None)

    def accept(self, key: str, answer: Raw) -> None:
        """The answer fits: it travels in the state from now on."""
        self._answers[key] = answer.copy()

    def ask(self, key: str, method: str, params: Any) -> None:
        """Raises McpError where one call asks too much."""
        if len(self.asked) + len(self._answers) >= MAX_ANSWERS:
            raise McpError(f"A call may ask at most {MAX_ANSWERS} questions")
        self.asked[key] = InputRequest(method=method, params=params)

    def effect(self, key: str) -> Raw | None:
        return self._effects.get(key)

    def keep(self, key: str, value: Any) -> Raw:
        """Record the result of a step that must not run again. Raises TypeError for what is not JSON."""
        self._effects[key] = raw = Raw(encode(value))
        return raw

    def result(self, binding: Binding) -> InputRequiredResult:
        """The questions of this round. Raises McpError past the caps."""
        return InputRequiredResult(input_requests=self.asked, request_state=self.seal(binding))

    @property
    def own_state(self) -> str | None:
        """What the function put into the `request_state` of a result that it returned itself."""
        raw = self.values.get(_OWN_STATE)
        return None if raw is None else msgspec.json.decode(raw, type=str)

    @own_state.setter
    def own_state(self, state: str) -> None:
        self.values[_OWN_STATE] = Raw(encode(state))

    def seal(self, binding: Binding) -> str:
        """What travels through the client. Raises McpError past the caps."""
        if self._round >= MAX_ROUNDS:
            raise McpError(f"The call asked for input {MAX_ROUNDS} times without coming to an end")
        # An answer that came before the run got to its question is kept; one that nobody asked for is not.
        early = {key: self._fresh[key] for key in self._pending & self._fresh.keys()}
        answers = early | self._answers
        pending = sorted((self._pending | self.asked.keys()) - answers.keys())
        digest, principal, expires, sealer = binding
        state = _Sealed(principal, expires, digest, self._round + 1, answers, self._effects, self.values, pending)
        plain = encode(state)
        if len(plain) > MAX_STATE_BYTES:
            raise McpError(f"The state of the call is larger than {MAX_STATE_BYTES} bytes")
        return sealer.seal(plain)


def _answers(responses: Raw) -> dict[str, Raw]:
    """The client's answers; what is no object answers nothing, so that the question is asked again."""
    try:
        return {key: value.copy() for key, value in _decode_answers(responses).items()}
    except msgspec.DecodeError:
        return {}


def _unseal(sealed: str, sealer: Sealer) -> _Sealed | None:
    if len(sealed) > 2 * MAX_STATE_BYTES:
        return None
    plain = sealer.open(sealed)
    if plain is None:
        return None
    try:
        return _decode_sealed(plain)
    except msgspec.DecodeError:
        return None
