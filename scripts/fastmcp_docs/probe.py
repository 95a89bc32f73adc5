"""Runs servers of the documentation under one library, and writes down what a client sees. Standard library only.

``python probe.py LIBRARY JOBS OUT``: LIBRARY is fastmcp or headrace, JOBS a JSON list of ``{"id", "sources", "ways",
"calls"}``. Each (source, way) runs in a process of its own, forked after the library is imported, in an empty
directory, without a network, for a bounded time. OUT gets one JSON line per job:
``{"id", "source": index, "records": {way: record}}``. `calls` are those of an earlier record; without them they are
made from what the server lists. Of several sources the first that loads without a NameError is the one that counts.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import linecache
import os
import random
import re
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
import types
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from http.client import HTTPConnection
from typing import Any, cast

from arguments import for_prompt, for_schema, for_tool, for_uri_template

__all__ = ["main"]

SECONDS_PER_RECORD = 40
SECONDS_PER_CALL = 8
MODULE = "documented_server"


def main() -> None:
    library, jobs, out = sys.argv[1:4]
    # What all need is imported once, before the forks.
    root: Any = importlib.import_module(library)
    for name in ("Client", "FastMCP"):
        getattr(root, name)
    for name in ("uvicorn", "httpx2", f"{library}.server.http", f"{library}.client.transports.http"):
        with suppress(ImportError):
            importlib.import_module(name)
    with open(jobs) as file, open(out, "w") as lines:
        for job in json.load(file):
            print(json.dumps(_job(library, job)), file=lines, flush=True)


def _job(library: str, job: dict[str, Any]) -> dict[str, Any]:
    tried: list[dict[str, Any]] = []
    for index, source in enumerate(job["sources"]):
        children = [(way, *_started(library, source, way, job.get("calls"))) for way in job["ways"]]
        records = {way: _collected(child, reader) for way, child, reader in children}
        tried.append({"id": job["id"], "source": index, "records": records})
        if not _failures(records) and not re.search(r"name '\w+' is not defined", json.dumps(records)):
            return tried[-1]
    return next((each for each in tried if not _failures(each["records"])), tried[0])


def _failures(records: dict[str, Any]) -> bool:
    return "error" in records["memory/legacy"]


def _started(library: str, source: str, way: str, calls: Any) -> tuple[int, int]:
    """The process and the pipe that its record will come through."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    os.close(reader)
    os.setpgid(0, 0)
    try:
        with tempfile.TemporaryDirectory() as directory, open(os.devnull, "r+") as nothing:
            os.chdir(directory)
            for stream in (0, 1) if os.environ.get("PROBE_STDERR") else (0, 1, 2):
                os.dup2(nothing.fileno(), stream)
            record = _record(library, source, way, calls or {})
            with open(writer, "w") as file:
                file.write(json.dumps(record, default=repr))
    finally:
        os._exit(0)


def _collected(child: int, reader: int) -> dict[str, Any]:
    chunks: list[bytes] = []
    end = time.monotonic() + SECONDS_PER_RECORD
    while select.select([reader], [], [], max(0, end - time.monotonic()))[0]:
        chunk = os.read(reader, 65536)
        if not chunk:
            break
        chunks.append(chunk)
    os.close(reader)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(b"".join(chunks))
    except ValueError:
        return _failed("time", TimeoutError(f"no answer within {SECONDS_PER_RECORD} s"))


def _record(library: str, source: str, way: str, calls: dict[str, Any]) -> dict[str, Any]:
    random.seed(0)
    _without_network()
    root = importlib.import_module(library)
    stage = "load"
    try:
        module = asyncio.run(_load(root, source))
        servers = {name: each for name, each in vars(module).items() if isinstance(each, root.FastMCP)}
        # Of several names for one server the first.
        names = sorted({id(server): name for name, server in reversed(servers.items())}.values())
        stage = "serve"
        seen = {name: asyncio.run(_seen(root, servers[name], way, calls.get(name))) for name in names}
        return {"servers": seen}
    except BaseException as error:
        return _failed(stage, error)


def _failed(stage: str, error: BaseException) -> dict[str, Any]:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if os.environ.get("PROBE_STDERR"):
        traceback.print_exception(error)
    return {"error": {"stage": stage, "type": type(error).__name__, "text": str(error)[:500]}}


async def _load(root: Any, source: str) -> types.ModuleType:
    """Run the source as a module that is not ``__main__``; top-level await is allowed, serving does nothing."""

    def nothing(*args: Any, **kwargs: Any) -> None: ...

    async def nothing_async(*args: Any, **kwargs: Any) -> None: ...

    for name in ("run", "run_async", "run_http_async", "run_stdio_async", "run_sse_async", "run_streamable_http_async"):
        if hasattr(root.FastMCP, name):
            setattr(root.FastMCP, name, nothing if name == "run" else nothing_async)
    with suppress(ImportError):
        uvicorn: Any = importlib.import_module("uvicorn")
        uvicorn.run = nothing
    module = types.ModuleType(MODULE)
    file = os.path.join(os.getcwd(), f"{MODULE}.py")
    module.__file__ = file
    sys.modules[MODULE] = module
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    _hasten()
    code = compile(source, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, vars(module))
    else:
        # Blocks that call asyncio.run() need a thread without a loop.
        await asyncio.to_thread(exec, code, vars(module))
    return module


def _hasten() -> None:
    """What the source sleeps is short; what libraries sleep stays as it is."""
    sleep, sleep_async = time.sleep, asyncio.sleep

    def hastened_sync(seconds: float) -> None:
        sleep(min(seconds, 0.01))

    async def hastened(delay: float, result: Any = None) -> Any:
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None
        ours = caller is not None and caller.f_globals.get("__name__") == MODULE
        return await sleep_async(min(delay, 0.01) if ours else delay, result)

    time.sleep = hastened_sync
    asyncio.sleep = hastened


def _without_network() -> None:
    resolve = socket.getaddrinfo

    def local(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "no network here")
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = local


async def _seen(root: Any, server: Any, way: str, calls: list[Any] | None) -> dict[str, Any]:
    transport, mode = way.split("/")
    heard: list[Any] = []

    async def elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
        plain = _plain(params)
        schema: dict[str, Any] = plain.get("requestedSchema") or {}
        heard.append(["elicitation", {"message": message, "requestedSchema": schema}])
        return for_schema(schema, schema) if schema.get("properties") else {}

    async def sample(messages: Any, params: Any, context: Any) -> str:
        heard.append(["sampling", {"messages": [_plain(each) for each in messages], **_plain(params)}])
        return "sampled"

    async def log(message: Any) -> None:
        heard.append(["log", _plain(message)])

    async def progress(*values: Any) -> None:
        heard.append(["progress", list(values)])

    options: dict[str, Any] = {
        "elicitation_handler": elicit,
        "sampling_handler": sample,
        "log_handler": log,
        "progress_handler": progress,
        "roots": ["file:///documents"],
    }
    if "mode" in inspect.signature(root.Client.__init__).parameters:
        # FastMCP has no "modern": its "auto" ends there, in memory.
        options["mode"] = mode if root.__name__ == "headrace" or mode == "legacy" else "auto"
    async with _target(server, transport) as (target, routes), root.Client(target, **options) as client:
        pages = {path: await asyncio.to_thread(_page, target, path) for path in routes}
        return await _observe(client, heard, calls) | ({"routes": pages} if pages else {})


def _page(url: str, path: str) -> list[Any]:
    """Status, type and body of a custom route."""
    connection = HTTPConnection(url.split("/")[2], timeout=SECONDS_PER_CALL)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return [response.status, response.getheader("content-type"), response.read().decode()]
    finally:
        connection.close()


@asynccontextmanager
async def _target(server: Any, transport: str) -> AsyncGenerator[Any]:
    """What the client connects to, and the paths of the custom routes beside it."""
    if transport == "memory":
        yield server, []
        return
    uvicorn: Any = importlib.import_module("uvicorn")
    listener = socket.create_server(("127.0.0.1", 0))
    app = server.http_app(path="/mcp")
    serving = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, lifespan="on"))
    task = asyncio.create_task(serving.serve(sockets=[listener]))
    while not serving.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if not serving.started:
        raise RuntimeError("the app does not start over HTTP")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", _custom_routes(app)
    finally:
        serving.should_exit = True
        await task


def _custom_routes(app: Any) -> list[str]:
    return [
        route.path
        for route in app.routes
        if "GET" in (getattr(route, "methods", None) or ())
        and route.path != "/mcp"
        and "{" not in route.path
        and not route.path.startswith("/.well-known")
    ]


async def _observe(client: Any, heard: list[Any], calls: list[Any] | None) -> dict[str, Any]:
    seen: dict[str, Any] = {"about": _about(client)}
    lists = {
        "tools": client.list_tools,
        "resources": client.list_resources,
        "templates": client.list_resource_templates,
        "prompts": client.list_prompts,
    }
    for name, function in lists.items():
        answer = await _answer(function())
        seen[name] = answer.get("result", answer)
    if calls is None:
        calls = _calls(seen)
    doors = {
        "tool": client.call_tool_mcp,
        "resource": client.read_resource_mcp,
        "prompt": getattr(client, "get_prompt_mcp", client.get_prompt),
    }
    made: list[Any] = []
    for kind, name, arguments in calls:
        heard.clear()
        random.seed(0)
        answer = await _answer(doors[kind](name) if kind == "resource" else doors[kind](name, arguments))
        await asyncio.sleep(0.01)
        made.append({"call": [kind, name, arguments], **answer, "heard": list(heard)})
    seen["calls"] = made
    return seen


def _calls(seen: dict[str, Any]) -> list[Any]:
    def listed(name: str) -> list[Any]:
        return seen[name] if isinstance(seen[name], list) else []

    calls: list[Any] = []
    for tool in listed("tools"):
        calls += [["tool", tool["name"], arguments] for arguments in for_tool(tool["inputSchema"])]
    calls += [["resource", resource["uri"], None] for resource in listed("resources")]
    for template in listed("templates"):
        calls += [["resource", uri, None] for uri in for_uri_template(template["uriTemplate"])]
    for prompt in listed("prompts"):
        calls += [["prompt", prompt["name"], arguments] for arguments in for_prompt(prompt.get("arguments") or [])]
    return calls


def _about(client: Any) -> dict[str, Any]:
    said = client.initialize_result
    if said is not None:
        return _plain(said)
    about = {
        "protocolVersion": client.protocol_version,
        "serverInfo": client.server_info,
        "capabilities": client.server_capabilities,
        "instructions": client.instructions,
    }
    return {name: _plain(value) for name, value in about.items() if value is not None}


async def _answer(awaitable: Any) -> dict[str, Any]:
    try:
        return {"result": _plain(await asyncio.wait_for(awaitable, SECONDS_PER_CALL))}
    except Exception as error:
        inner = getattr(error, "error", None)
        code = getattr(error, "code", None) or getattr(inner, "code", None)
        return {"error": {"type": type(error).__name__, "code": code, "text": str(error)[:2000]}}


def _plain(value: Any) -> Any:
    """As JSON: of pydantic models, msgspec structs, lists of them."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in cast("list[Any]", value)]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if hasattr(value, "__struct_fields__"):
        return json.loads(importlib.import_module("msgspec").json.encode(value))
    return value


if __name__ == "__main__":
    main()
