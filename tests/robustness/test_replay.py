"""Questions of replayed calls (2026-07-28, Multi Round-Trip Requests): never a swapped, lost or repeated answer.

The server waits a different while at every run, so questions come in another order at every replay; the client
answers in random order, and in some runs only a part. The same functions then run over the handshake era.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest

from headrace.server.auth import StaticTokenVerifier

from .replay_app import STYLES, Replay
from .wire import Answer, Connection, encode_request, modern_headers, modern_meta, serving

RUNS = 200
PATH = "/mcp"
SEED = 20260728
CAPABILITIES = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
Params = dict[str, Any]
Give = Callable[[str, Params], Any]
"""Key and question -> the client's answer; None leaves it out."""


class Server:
    def __init__(self, replay: Replay, port: int) -> None:
        self.replay = replay
        self.port = port


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Server]:
    replay = Replay(SEED)
    async with serving(replay.mcp.http_app()) as running:
        yield Server(replay, running.port)


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with await Connection.open(server.port) as connection:
        yield connection


async def post(connection: Connection, method: str, params: Params, **headers: str) -> Answer:
    """One request of 2026-07-28."""
    name = params.get("uri", params.get("name"))
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": modern_meta(CAPABILITIES)}}
    return await connection.request(
        "POST", PATH, {**modern_headers(method, name), **headers}, json.dumps(body).encode()
    )


async def result(connection: Connection, method: str, params: Params) -> Params:
    answer = await post(connection, method, params)
    assert answer.status == 200, answer
    message = answer.json()
    assert "result" in message, message
    return message["result"]


def of_call(name: str, **arguments: Any) -> Params:
    return {"name": name, "arguments": arguments}


def accepted(value: Any) -> Params:
    return {"action": "accept", "content": {"value": value}}


def topic(question: Params) -> str:
    """``Value of one?`` -> ``one``."""
    return question["params"]["message"].removeprefix("Value of ").removesuffix("?")


async def converse(connection: Connection, method: str, params: Params, give: Give, rng: random.Random) -> Params:
    """The final result. Raises AssertionError where a question that was answered is asked again."""
    answered: Counter[str] = Counter()
    retry: Params = {}
    for _ in range(33):
        found = await result(connection, method, params | retry)
        if found["resultType"] == "complete":
            return found
        assert found["resultType"] == "input_required"
        assert "ttlMs" not in found
        questions = list(found["inputRequests"].items())
        assert not [key for key, _ in questions if key in answered], "asked again what was answered"
        rng.shuffle(questions)
        given = {key: given for key, question in questions if (given := give(key, question)) is not None}
        answered.update(given.keys())
        retry = {"requestState": found["requestState"], "inputResponses": given}
    raise AssertionError("no end")


def by_topic(answers: Params) -> Give:
    """The topic's number, or an action in its place."""

    def give(_: str, question: Params) -> Params:
        value = answers[topic(question)]
        return {"action": value} if isinstance(value, str) else accepted(value)

    return give


def by_key(answers: Params) -> Give:
    return lambda key, _: accepted(answers[key])


def sometimes(give: Give, rng: random.Random) -> Give:
    """Leaves three of ten questions unanswered."""
    return lambda key, question: None if rng.random() < 0.3 else give(key, question)


def structured(found: Params) -> Any:
    assert not found.get("isError"), found
    return found["structuredContent"]


async def questions_of(connection: Connection, params: Params, method: str = "tools/call") -> Params:
    found = await result(connection, method, params)
    assert found["resultType"] == "input_required", found
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "partial"])
@pytest.mark.parametrize("style", STYLES)
async def test_every_answer_reaches_its_question(style: str, partial: bool, server: Server) -> None:
    rng = random.Random(f"{SEED} {style} {partial}")
    async with await Connection.open(server.port) as connection:
        for run in range(RUNS):
            names = [f"{style}-{run}-{number}" for number in range(rng.randrange(2, 6))]
            answers: dict[str, Any] = {name: rng.randrange(10**6) for name in names}
            if rng.random() < 0.3:
                answers[names[0]] = rng.choice(("decline", "cancel"))
            give = by_topic(answers)
            if partial:
                give = sometimes(give, rng)
            params = of_call(style, names=names, pauses=True)
            assert structured(await converse(connection, "tools/call", params, give, rng)) == answers


@pytest.mark.parametrize("style", [style for style in STYLES if style != "one_by_one"])
async def test_questions_asked_at_once_share_a_round(style: str, connection: Connection) -> None:
    found = await questions_of(connection, of_call(style, names=["one", "two", "three"], pauses=False))
    assert {topic(question) for question in found["inputRequests"].values()} == {"one", "two", "three"}


async def test_gather_of_two_questions_is_one_answer_with_two_requests(connection: Connection) -> None:
    found = await questions_of(connection, of_call("gather", names=["one", "two"], pauses=False))
    assert [question["method"] for question in found["inputRequests"].values()] == ["elicitation/create"] * 2


async def test_the_same_words_under_two_keys(connection: Connection) -> None:
    rng = random.Random(SEED)
    for _ in range(RUNS):
        values = {"left": rng.randrange(1000), "right": rng.randrange(1000)}
        found = await converse(
            connection,
            "tools/call",
            of_call("keyed"),
            by_key(values),
            rng,
        )
        assert structured(found) == values


async def test_the_same_words_in_a_row_are_questions_of_their_own(connection: Connection) -> None:
    numbers = iter(range(100))
    found = await converse(
        connection, "tools/call", of_call("same_words"), lambda *_: accepted(next(numbers)), random.Random(1)
    )
    assert structured(found) == {"result": [0, 1, 2]}


async def test_a_key_stands_for_one_question(connection: Connection) -> None:
    found = await questions_of(connection, of_call("one_key"))
    retry = {"requestState": found["requestState"], "inputResponses": {"n": accepted(1)}}
    message = (await post(connection, "tools/call", of_call("one_key") | retry)).json()
    assert "'n'" in json.dumps(message)
    assert message.get("error") or message["result"].get("isError")


async def test_questions_of_every_kind_at_once(connection: Connection) -> None:
    def give(_: str, question: Params) -> Params:
        return {
            "elicitation/create": accepted(7),
            "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"},
            "roots/list": {"roots": [{"uri": "file:///here"}]},
        }[question["method"]]

    first = await questions_of(connection, of_call("mixed"))
    assert len(first["inputRequests"]) == 3
    found = await converse(connection, "tools/call", of_call("mixed"), give, random.Random(2))
    assert structured(found) == {"one": 7, "said": "hi", "roots": ["file:///here"]}


async def test_once_runs_once(server: Server, connection: Connection) -> None:
    rng = random.Random(SEED)
    runs = server.replay.runs
    for run in range(50):
        values = {"one": rng.randrange(100), "two": rng.randrange(100)}
        found = await converse(
            connection,
            "tools/call",
            of_call("paid", run=f"{run}"),
            by_topic(values),
            rng,
        )
        assert structured(found) == {
            "receipt": f"receipt {run}",
            "booking": f"booking {run}",
            "sum": values["one"] + values["two"],
        }
        assert (runs[f"charge {run}"], runs[f"book {run}"], runs[f"run {run}"]) == (1, 1, 3)


async def test_a_step_that_two_branches_need_runs_once(server: Server, connection: Connection) -> None:
    values = {"one": 1, "two": 2}
    runs = server.replay.runs
    for run in map(str, range(50)):
        found = await converse(
            connection,
            "tools/call",
            of_call("shared_step", run=run),
            by_topic(values),
            random.Random(run),
        )
        assert structured(found) == {"left": 1, "right": 1, "asked": 1, "two": 2}
        # The step that asked ran again with the answer, and then no more.
        assert (runs[f"step {run}"], runs[f"asking {run}"]) == (1, 2)


async def test_tasks_that_a_function_leaves_behind_end(server: Server, connection: Connection) -> None:
    """Whether their question came before the answer or after it."""
    found = await result(connection, "tools/call", of_call("leaves_behind", run="x"))
    assert structured(found) == {"result": "done"}
    await asyncio.wait(server.replay.left, timeout=5)
    assert [task.cancelled() for task in server.replay.left] == [True, True]
    assert server.replay.runs["ended x"] == 2


async def test_state_of_the_call_travels_with_its_retries(connection: Connection) -> None:
    found = await converse(connection, "tools/call", of_call("remembers"), lambda *_: accepted(1), random.Random(3))
    assert structured(found) == {"asked": 2}
    again = await converse(connection, "tools/call", of_call("remembers"), lambda *_: accepted(1), random.Random(3))
    assert structured(again) == {"asked": 2}


async def test_a_function_that_swallows_the_cancellation_still_asks(connection: Connection) -> None:
    found = await converse(connection, "tools/call", of_call("insists"), lambda *_: accepted(1), random.Random(4))
    assert structured(found) == {"result": "answered"}


async def test_finally_blocks_run(server: Server, connection: Connection) -> None:
    await questions_of(connection, of_call("tidy", run="x"))
    assert server.replay.runs["open x"] == 0


async def test_questions_of_a_prompt(connection: Connection) -> None:
    params = {"name": "greet", "arguments": {"who": "you"}}
    first = await questions_of(connection, params, "prompts/get")
    assert len(first["inputRequests"]) == 2
    values = {"one": 1, "two": 2}
    found = await converse(connection, "prompts/get", params, by_topic(values), random.Random(5))
    assert found["messages"][0]["content"]["text"] == "you 1 2"


async def test_questions_of_a_resource(connection: Connection) -> None:
    found = await converse(
        connection, "resources/read", {"uri": "ask://rivers"}, lambda *_: accepted(3), random.Random(6)
    )
    assert found["contents"][0]["text"] == "rivers 3"


@pytest.mark.parametrize(
    "unfit",
    [
        accepted("no number"),
        accepted(None),
        {"action": "accept"},
        {"action": "shrug"},
        {"content": {"value": 1}},
        {},
        [],
        None,
        3,
        "accept",
    ],
    ids=str,
)
async def test_an_answer_that_does_not_fit_is_asked_again(unfit: Any, connection: Connection) -> None:
    params = of_call("checked")
    first = await questions_of(connection, params)
    (key,) = first["inputRequests"]
    retry = {"requestState": first["requestState"], "inputResponses": {key: unfit}}
    second = await questions_of(connection, params | retry)
    assert list(second["inputRequests"]) == [key]
    retry = {"requestState": second["requestState"], "inputResponses": {key: accepted(5)}}
    found = await result(connection, "tools/call", params | retry)
    assert structured(found) == {"one": 5, "action": "accept"}


@pytest.mark.parametrize("responses", [None, {}, {"other": {"action": "accept"}}], ids=str)
async def test_what_was_left_out_is_asked_again(responses: Any, connection: Connection) -> None:
    params = of_call("checked")
    first = await questions_of(connection, params)
    retry = {"requestState": first["requestState"]} | ({} if responses is None else {"inputResponses": responses})
    second = await questions_of(connection, params | retry)
    assert second["inputRequests"] == first["inputRequests"]


async def test_a_retry_can_be_sent_twice(connection: Connection) -> None:
    """Nothing is kept of a call between its requests, so a retry that was lost on its way is sent again."""
    params = of_call("checked")
    first = await questions_of(connection, params)
    (key,) = first["inputRequests"]
    retry = {"requestState": first["requestState"], "inputResponses": {key: accepted(5)}}
    for _ in range(2):
        assert structured(await result(connection, "tools/call", params | retry)) == {"one": 5, "action": "accept"}


# Refused


async def refused(connection: Connection, method: str, params: Params) -> str:
    answer = await post(connection, method, params)
    message = answer.json()
    assert answer.status == 200, answer
    assert message["error"]["code"] == -32602, message
    return message["error"]["message"]


def tampered(state: str) -> Iterable[str]:
    """Every part of the sealed state changed, once each: nonce, text and tag."""
    data = base64.urlsafe_b64decode(state)
    for position in sorted({0, 5, 11, 12, len(data) // 2, len(data) - 17, len(data) - 16, len(data) - 1}):
        changed = bytearray(data)
        changed[position] ^= 1
        yield base64.urlsafe_b64encode(changed).decode()
    yield from (state[:-8], state[4:], state + "AAAA", state[::-1], state.upper(), "", "AAAA", "é", "x" * 600_000)
    yield base64.urlsafe_b64encode(b"\0" * 40).decode()
    yield json.dumps({"answers": {}})


async def test_a_tampered_state_is_refused(connection: Connection) -> None:
    params = of_call("checked")
    first = await questions_of(connection, params)
    (key,) = first["inputRequests"]
    given = {"inputResponses": {key: accepted(5)}}
    states = list(tampered(first["requestState"]))
    for state in states:
        await refused(connection, "tools/call", params | given | {"requestState": state})
    assert len(states) > 15


async def test_a_state_that_is_no_string_is_refused(connection: Connection) -> None:
    for state in (1, {}, [], True):
        answer = await post(connection, "tools/call", of_call("checked") | {"requestState": state})
        assert (answer.status, answer.json()["error"]["code"]) == (400, -32602)


async def test_a_state_of_another_request_is_refused(connection: Connection) -> None:
    names = {"names": ["one", "two"], "pauses": False}
    first = await questions_of(connection, of_call("gather", **names))
    retry = {
        "requestState": first["requestState"],
        "inputResponses": {key: accepted(1) for key in first["inputRequests"]},
    }
    others = [
        of_call("wait_for", **names),
        of_call("gather", names=["two", "one"], pauses=False),
        of_call("gather", names=["one", "two"], pauses=True),
        of_call("gather", names=["one", "two"]),
        of_call("gather", **names, more=1),
    ]
    for other in others:
        await refused(connection, "tools/call", other | retry)
    await refused(connection, "prompts/get", {"name": "greet", "arguments": {"who": "you"}} | retry)
    await refused(connection, "resources/read", {"uri": "ask://rivers"} | retry)
    # The order of members says nothing, and the request itself is served.
    same = of_call("gather", pauses=False, names=["one", "two"])
    assert structured(await result(connection, "tools/call", same | retry)) == {"one": 1, "two": 1}


async def test_a_state_of_another_server_is_refused(connection: Connection) -> None:
    other = Replay(SEED)
    async with serving(other.mcp.http_app()) as running, await Connection.open(running.port) as elsewhere:
        first = await questions_of(elsewhere, of_call("checked"))
    await refused(connection, "tools/call", of_call("checked") | {"requestState": first["requestState"]})


async def test_a_shared_key_serves_another_replicas_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_KEY", "k" * 32)
    one, two = Replay(1), Replay(2)
    async with serving(one.mcp.http_app()) as running, await Connection.open(running.port) as here:
        found = await questions_of(here, of_call("checked"))
    (key,) = found["inputRequests"]
    retry = {"requestState": found["requestState"], "inputResponses": {key: accepted(5)}}
    async with serving(two.mcp.http_app()) as running, await Connection.open(running.port) as there:
        assert structured(await result(there, "tools/call", of_call("checked") | retry))["one"] == 5


async def test_an_expired_state_is_refused(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("headrace.transports.replay.time", clock)
    params = of_call("checked")
    first = await questions_of(connection, params)
    (key,) = first["inputRequests"]
    retry = {"requestState": first["requestState"], "inputResponses": {key: accepted(5)}}
    clock.now += 3599
    assert structured(await result(connection, "tools/call", params | retry))["one"] == 5
    clock.now += 2
    assert "expired" in await refused(connection, "tools/call", params | retry)


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


async def test_a_state_of_another_principal_is_refused() -> None:
    tokens = {
        "token-of-ann": {"client_id": "ann"},
        "token-of-bob": {"client_id": "bob"},
        "new-one": {"client_id": "ann"},
    }
    replay = Replay(SEED, StaticTokenVerifier(tokens))
    params = of_call("checked")
    async with serving(replay.mcp.http_app()) as running, await Connection.open(running.port) as connection:

        async def asked(token: str, more: Params) -> Params:
            answer = await post(connection, "tools/call", params | more, authorization=f"Bearer {token}")
            assert answer.status == 200
            return answer.json()

        first = (await asked("token-of-ann", {}))["result"]
        (key,) = first["inputRequests"]
        retry = {"requestState": first["requestState"], "inputResponses": {key: accepted(5)}}
        assert (await asked("token-of-bob", retry))["error"]["code"] == -32602
        assert structured((await asked("token-of-ann", retry))["result"])["one"] == 5
        # A token that was renewed is the same principal's.
        assert structured((await asked("new-one", retry))["result"])["one"] == 5


# Caps


async def test_a_call_that_asks_without_end_is_an_error(connection: Connection) -> None:
    retry: Params = {}
    for _ in range(32):
        found = await questions_of(connection, of_call("without_end") | retry)
        answers = {key: accepted(1) for key in found["inputRequests"]}
        retry = {"requestState": found["requestState"], "inputResponses": answers}
    message = (await post(connection, "tools/call", of_call("without_end") | retry)).json()
    assert message["error"]["code"] == -32603


@pytest.mark.parametrize("tool", ["too_many", "too_much"])
async def test_too_many_questions_or_too_much_state_is_an_error(tool: str, connection: Connection) -> None:
    answer = await post(connection, "tools/call", of_call(tool))
    message = answer.json()
    assert answer.status == 200
    assert "error" in message or message["result"]["isError"]


async def test_answers_nobody_asked_for_are_not_kept(connection: Connection) -> None:
    """The state does not grow by what a client makes up."""
    params = of_call("checked")
    first = await questions_of(connection, params)
    junk = {f"junk-{number}": {"text": "x" * 1000} for number in range(100)}
    second = await questions_of(connection, params | {"requestState": first["requestState"], "inputResponses": junk})
    assert len(second["requestState"]) < len(first["requestState"]) + 100


async def test_a_client_that_cannot_be_asked_is_told_so_before_anything_runs(connection: Connection) -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {**of_call("gather", names=["one", "two"], pauses=False), "_meta": modern_meta({})},
    }
    answer = await connection.request("POST", PATH, modern_headers("tools/call", "gather"), json.dumps(body).encode())
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32021)


# The same functions over the handshake era

HANDSHAKE = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


class Handshake:
    """A client with a session; it answers questions on a connection of their own."""

    def __init__(self, calls: Connection, answers: Connection, headers: dict[str, str]) -> None:
        self._calls = calls
        self._answers = answers
        self._headers = headers

    @classmethod
    async def open(cls, port: int, version: str) -> Handshake:
        calls, answers = await Connection.open(port), await Connection.open(port)
        params = {"protocolVersion": version, "capabilities": CAPABILITIES, "clientInfo": {"name": "t", "version": "1"}}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        opened = await calls.request("POST", PATH, HANDSHAKE, json.dumps(body).encode())
        session = opened.headers["mcp-session-id"]
        self = cls(calls, answers, HANDSHAKE | {"mcp-session-id": session, "mcp-protocol-version": version})
        await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    async def close(self) -> None:
        ended = await self._answers.request("DELETE", PATH, self._headers)
        assert ended.status == 200
        await self._calls.close()
        await self._answers.close()

    async def _post(self, message: Params) -> None:
        answer = await self._answers.request("POST", PATH, self._headers, json.dumps(message).encode())
        assert answer.status == 202

    async def converse(self, method: str, params: Params, give: Give, rng: random.Random) -> Params:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        self._calls.write(encode_request("POST", PATH, {"host": "127.0.0.1", **self._headers}.items(), body))
        status, headers = await self._calls.head()
        assert status == 200
        assert headers["content-type"] == "text/event-stream"
        answers: list[Params] = []
        while (message := await self._calls.event()) is not None:
            if "method" in message:
                given = give("", message) if "id" in message else None
                if given is not None:
                    await self._post({"jsonrpc": "2.0", "id": message["id"], "result": given})
            else:
                answers.append(message["result"])
        assert len(answers) == 1
        return answers[0]


@pytest.fixture
async def handshake(server: Server) -> AsyncIterator[Callable[[str], Awaitable[Handshake]]]:
    opened: list[Handshake] = []

    async def open_one(version: str) -> Handshake:
        opened.append(await Handshake.open(server.port, version))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
@pytest.mark.parametrize("style", STYLES)
async def test_the_same_function_gives_the_same_result_in_the_handshake_era(
    style: str, version: str, handshake: Callable[[str], Awaitable[Handshake]], connection: Connection
) -> None:
    rng = random.Random(f"{SEED} {style}")
    client = await handshake(version)
    for run in range(20):
        names = [f"{style}-{run}-{number}" for number in range(rng.randrange(2, 6))]
        answers: dict[str, Any] = {name: rng.randrange(10**6) for name in names}
        answers[names[-1]] = rng.choice(("decline", "cancel", 5))
        give = by_topic(answers)
        params = of_call(style, names=names, pauses=True)
        before = await client.converse("tools/call", params, give, rng)
        now = await converse(connection, "tools/call", params, give, rng)
        assert structured(before) == structured(now) == answers
        assert before["content"] == now["content"]


async def test_tasks_that_a_function_leaves_behind_end_in_the_handshake_era(
    server: Server, handshake: Callable[[str], Awaitable[Handshake]]
) -> None:
    client = await handshake("2025-11-25")
    # Its first question is not answered: it waits when the function returns.
    found = await client.converse("tools/call", of_call("leaves_behind", run="old"), lambda *_: None, random.Random(1))
    assert structured(found) == {"result": "done"}
    await asyncio.wait(server.replay.left, timeout=5)
    assert [task.cancelled() for task in server.replay.left] == [True, True]


async def test_once_and_state_in_the_handshake_era(
    server: Server, handshake: Callable[[str], Awaitable[Handshake]]
) -> None:
    client = await handshake("2025-11-25")
    values = {"one": 3, "two": 4}
    found = await client.converse(
        "tools/call",
        of_call("paid", run="old"),
        by_topic(values),
        random.Random(1),
    )
    assert structured(found) == {"receipt": "receipt old", "booking": "booking old", "sum": 7}
    assert (server.replay.runs["charge old"], server.replay.runs["run old"]) == (1, 1)
