"""Tokens, cookies, arguments and queries are in no log line, of no logger, at no level."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from headrace.redaction import BLANK, log_failure, secrets_of, without_query

from .http.wire import body_of, call, modern, open_session, send, stream

APP = Path(__file__).parent / "secrets_app.py"


class Marks:
    """Makes secrets, and finds them again."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        """A secret for this place, of letters that nothing changes, without a word of another one in it."""
        mark = self.made[what] = hashlib.sha256(what.encode()).hexdigest()[:16]
        return mark

    def found(self, text: str) -> dict[str, str]:
        """Where the secrets of the text came from, each with a line it is in."""
        lines = text.splitlines()
        return {
            what: next((line for line in lines if mark in line), "?")
            for what, mark in self.made.items()
            if mark in text
        }


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The app in a process of its own: its origin, and the lines it writes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(APP), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said: list[bytes] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said.append(line)

    reading: asyncio.Task[None] | None = None
    try:
        port = None
        async with asyncio.timeout(30):
            while port is None:
                line = await process.stdout.readline()
                assert line, b"".join(said).decode()
                said.append(line)
                port = re.search(rb"serves MCP on http://127\.0\.0\.1:(\d+)", line)
            reading = asyncio.create_task(read())
        yield f"http://127.0.0.1:{int(port[1])}", said
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
        if reading is not None:
            await reading


async def calls(http: httpx2.AsyncClient, origin: str, mark: Marks) -> None:
    """Requests of both eras, in order and not."""
    good = {"authorization": f"Bearer good-{mark('token')}", "cookie": f"a=b; session={mark('cookie')}"}
    url = f"{origin}/mcp?key={mark('query')}"

    async def both(body: dict[str, Any], session: dict[str, Any]) -> None:
        headers, content = modern(body)
        await send(http, url, content, {**good, **headers})
        await send(http, url, body, {**good, **session})

    session = await open_session(http, url, headers=good, capabilities={"elicitation": {}})
    for tool in ("echo", "fail", "fail_in_a_thread", "leave", "no_such_tool"):
        await both(
            call(tool, {"text": mark(f"argument of {tool}"), "other": mark(f"unknown argument of {tool}")}), session
        )
        await both(call(tool, {"text": mark(f"text of {tool}")}), session)
        await both(call(tool, {"text": [mark(f"wrong type for {tool}")]}), session)
    await both(call("fail", {"text": f'"{mark("quoted")}\n{mark("second line")}\\', "number": 4929123456}), session)
    await both(
        call("fail_in_pydantic", {"order": {"card": mark("value in pydantic"), "other": mark("other value")}}), session
    )
    await both(body_of("resources/read", {"uri": f"data://name?key={mark('query of a uri')}"}), session)
    await both(body_of("resources/read", {"uri": f"none://name?key={mark('query of no uri')}"}), session)
    await both(body_of("prompts/get", {"name": "ask", "arguments": {"text": mark("argument of a prompt")}}), session)
    await both(
        body_of("completion/complete", {"ref": {}, "argument": {"name": "x", "value": mark("to complete")}}), session
    )
    await both(body_of(mark("no method"), {"x": mark("params of no method")}), session)
    for token in (f"bad-{mark('bad token')}", f"broken-{mark('token of a broken verifier')}"):
        await send(http, url, call("echo", {"text": "x"}), {"authorization": f"Bearer {token}"})
        await send(
            http,
            f"{origin}/health?{mark('query of health')}",
            headers={"authorization": f"Bearer {token}"},
            method="GET",
        )
    for body in (b'{"a":"%b"', b'{"jsonrpc":"2.0","id":"%b","method":7}', b'["%b"]', b"\xff%b", b'{"id":1,"id":"%b"}'):
        await send(http, url, body % mark(f"broken body {body[:9]!r}").encode(), {**good, **session})
    await send(http, url, b"x", {**good, "content-type": f"text/{mark('media type')}"})
    await send(http, url, call("echo"), {**good, "mcp-session-id": mark("session id")})
    await send(
        http, url, call("echo"), {**good, "host": f"{mark('host')}.example", "origin": f"http://{mark('origin')}"}
    )
    await questions(http, url, good, session, mark)


async def questions(http: httpx2.AsyncClient, url: str, good: Any, session: Any, mark: Marks) -> None:
    """Elicitation in both eras, with an answer that the function puts into its exception."""
    headers, body = modern(call("fail_with_an_answer"), capabilities={"elicitation": {}})
    asked = await send(http, url, body, {**good, **headers})
    assert asked.result["resultType"] == "input_required", asked
    answer = {"action": "accept", "content": {"value": mark("answer")}}
    body["params"] |= {"inputResponses": {"password": answer}, "requestState": asked.result["requestState"]}
    assert (await send(http, url, body, {**good, **headers})).result["isError"]
    async with stream(http, url, call("fail_with_an_answer"), {**good, **session}, method="POST") as events:
        question = await events.message()
        content = {"action": "accept", "content": {"value": mark("answer in a session")}}
        response = {"jsonrpc": "2.0", "id": question["id"], "result": content}
        assert (await send(http, url, response, {**good, **session})).status == 202
        assert (await events.message())["result"]["isError"]


async def test_no_secret_of_a_call_is_logged() -> None:
    mark = Marks()
    async with program("calls") as (origin, said), httpx2.AsyncClient(trust_env=False, timeout=10) as http:
        await calls(http, origin, mark)
    log = b"".join(said).decode()
    assert len(mark.made) > 40
    assert not mark.found(log)
    assert "4929123456" not in log
    # It is a log all the same: what happened is there, and where.
    assert log.count("Error calling tool 'fail'") >= 4
    assert f"ValueError: can't do '{BLANK}' with 0, ['{BLANK}']" in log
    assert "raise ValueError(f\"can't do {text!r}" in log
    assert '"POST /mcp HTTP/1.1" 200' in log
    assert "DEBUG asyncio" in log or "WARNING asyncio" in log


REDIRECT = "https://app.example/callback"


async def logins(http: httpx2.AsyncClient, origin: str, mark: Marks) -> None:
    """A whole login, renewed and revoked, and what goes wrong on the way."""

    async def post(path: str, expected: int, **form: str) -> dict[str, Any]:
        response = await http.post(f"{origin}{path}", data=form)
        assert response.status_code == expected, response.text
        return response.json() if response.content else {}

    def kept(document: dict[str, Any], *names: str) -> None:
        for name in names:
            mark.made[f"{name} {len(mark.made)}"] = document[name]

    metadata = {"redirect_uris": [REDIRECT], "client_name": "x", "token_endpoint_auth_method": "client_secret_post"}
    client = (await http.post(f"{origin}/register", json=metadata)).json()
    kept(client, "client_secret")
    await http.post(f"{origin}/register", json={"redirect_uris": [f"javascript:{mark('redirect uri')}"]})
    me = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    verifier = mark("verifier") * 3
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": me["client_id"],
        "redirect_uri": REDIRECT,
        "code_challenge_method": "S256",
    }

    async def code(state: str) -> str:
        asked = {**query, "code_challenge": challenge, "state": state}
        response = await http.get(f"{origin}/authorize", params=asked)
        return dict(parse_qsl(urlsplit(response.headers.get("location", "")).query)).get("code", "")

    assert not await code(f"broken-{mark('state of a broken provider')}")
    form = {**me, "grant_type": "authorization_code", "redirect_uri": REDIRECT}
    mark.made["code"] = first = await code(mark("state"))
    await post("/token", 400, **form, code=first, code_verifier=mark("wrong verifier") * 3)
    mark.made["second code"] = second = await code(mark("second state"))
    tokens = await post("/token", 200, **form, code=second, code_verifier=verifier)
    kept(tokens, "access_token", "refresh_token")
    headers, body = modern(call("fail", {"text": "x"}))
    authorized = {**headers, "authorization": f"Bearer {tokens['access_token']}"}
    assert (await send(http, f"{origin}/mcp", body, authorized)).result["isError"]
    renewed = await post("/token", 200, **me, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    kept(renewed, "access_token", "refresh_token")
    await post("/token", 400, **me, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    await post(
        "/token", 401, **{**me, "client_secret": mark("wrong secret")}, grant_type="refresh_token", refresh_token="x"
    )
    await post("/token", 400, **me, grant_type=mark("no grant type"), password=mark("password"))
    await post("/revoke", 200, **me, token=renewed["refresh_token"])
    await http.post(f"{origin}/token", content=f"%ff{mark('no form')}", headers={"content-type": "text/plain"})


async def test_no_secret_of_a_login_is_logged() -> None:
    mark = Marks()
    async with program("oauth") as (origin, said), httpx2.AsyncClient(trust_env=False, timeout=10) as http:
        await logins(http, origin, mark)
    log = b"".join(said).decode()
    assert len(mark.made) >= 16
    assert not mark.found(log)
    assert '"POST /token HTTP/1.1" 400' in log
    assert f"RuntimeError: {BLANK} of {BLANK} leads nowhere" in log


URLS = {
    "https://user:pw@a.example/b/c?d=e#f": "https://a.example/b/c",
    "https://a.example/b": "https://a.example/b",
    "data://x#y?z": "data://x",
    "": "",
    "?a": "",
    "//me@x/@y": "//x/@y",
}


@pytest.mark.parametrize("url", URLS)
def test_urls_are_logged_without_what_may_be_secret(url: str) -> None:
    assert without_query(url) == URLS[url]


def test_what_counts_as_a_secret() -> None:
    scope = {
        "headers": [(b"authorization", b"Bearer t0ken"), (b"cookie", b"a=b1b; c=d2d"), (b"accept", b"text/plain")],
        "query_string": b"key=q3q&x",
    }
    params = {
        "name": "tool",
        "arguments": {"a": ["one", {"b": 12345, "c": True, "d": None}], "e": 1.5},
        "inputResponses": {"k": {"content": {"v": "answer"}}},
        "requestState": "state",
        "_meta": {"x": "y"},
    }
    found = set(secrets_of(json.dumps(params).encode(), scope))
    assert {"Bearer t0ken", "t0ken", "b1b", "d2d", "q3q", "one", "12345", "1.5", "answer", "state"} <= found
    assert not {"tool", "text/plain", "y", "True", "None"} & found
    for broken in (b"", b"[]", b"{", b"[" * 100_000, b'{"arguments":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        assert not any(secrets_of(broken, None, [broken]))


def test_a_traceback_without_secrets_is_logged_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("headrace.test")
    try:
        raise ValueError("nothing of the caller's")
    except ValueError as error:
        log_failure(logger, error, ["secret", "ab"], "%s failed", "it")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert (record.getMessage(), record.filename, record.funcName) == ("it failed", "test_redaction.py", None)
    assert "ValueError: nothing of the caller's" in caplog.text


def test_blanked_out_are_the_texts_of_exceptions_and_not_the_code(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever formats the exception anew would show them, so the record does not have it then."""
    logger = logging.getLogger("headrace.test")
    secret = "ValueError"  # a word of the code, too
    try:
        try:
            raise KeyError(f"{secret}\n'é'")
        except KeyError:
            raise ExceptionGroup(secret, [OSError(2, secret), SyntaxError("no", ("f", 1, 1, secret, 1, 2))]) from None
    except ExceptionGroup as error:
        log_failure(logger, error, [secret], "failed")
    (record,) = caplog.records
    assert record.exc_info is None
    code = [line for line in caplog.text.splitlines() if "raise" in line or "File" in line]
    texts = [line for line in caplog.text.splitlines() if line not in code]
    assert any("test_redaction.py" in line for line in code)
    assert not any(secret in line for line in texts), texts
    assert any(BLANK in line for line in texts)


def test_many_long_secrets_take_no_time(caplog: pytest.LogCaptureFixture) -> None:
    params = {"arguments": {str(n): "a" * 1000 + str(n) for n in range(20_000)}}
    secrets = secrets_of(json.dumps(params).encode(), None)
    log_failure(logging.getLogger("headrace.test"), ValueError("a" * 1000 + "7 " * 10_000), secrets, "failed")
    assert "a" * 1000 + "7 " not in caplog.text
