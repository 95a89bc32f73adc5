"""What every Python contender's server has in common: the functions it serves, and the ASGI server around its app.

The scripts here run as programs, each in the environment of its contender; nothing of Headrace is imported here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import uvicorn
from pydantic import BaseModel

__all__ = ["NOTES", "Options", "add", "add_sync", "big_text", "greeting", "listed_tools", "save", "serve", "text"]

NOTES = 100
"""Progress notes of one call of `notes`."""
_BIG = "The quick brown fox jumps over the lazy dog; " * 23_302
Options = argparse.Namespace


class Profile(BaseModel):
    """Twenty fields, of the kinds that forms have."""

    first_name: str
    last_name: str
    email: str
    phone: str
    street: str
    city: str
    postcode: str
    country: str
    company: str | None
    age: int
    children: int
    visits: int
    points: int
    height: float
    weight: float
    balance: float
    active: bool
    newsletter: bool
    plan: Literal["free", "team", "enterprise"]
    tags: list[str]


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def add_sync(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def save(profile: Profile) -> Profile:
    """Save a profile, and give it back as it was saved."""
    return profile


async def big_text() -> str:
    """A text of one megabyte."""
    return _BIG


def text() -> str:
    """A resource of one line."""
    return "The content of a small resource."


def greeting(name: str) -> str:
    """A prompt with one argument."""
    return f"Write a greeting for {name}, please."


def listed_tools(count: int) -> list[tuple[str, Callable[..., Any]]]:
    """`count` tools of four arguments each, with their names."""

    async def search(query: str, limit: int = 10, exact: bool = False, tags: list[str] | None = None) -> str:
        """Search one collection for a query and give the best matches, one a line."""
        return f"{query} {limit} {exact} {tags}"

    tools: list[tuple[str, Callable[..., Any]]] = []
    for number in range(count):
        tools.append((f"search_collection_{number:03}", search))
    return tools


def options() -> Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stateless", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--granian", action="store_true", help="serve on granian instead of uvicorn")
    parser.add_argument("--token", help="ask for this bearer token")
    parser.add_argument("--tools", type=int, default=0, help="serve only that many tools for a list")
    parser.add_argument("--body", help="a file with the answer (the bare app)")
    parser.add_argument("--content-type", default="application/json")
    return parser.parse_args()


def serve(app: Any, *packages: str, granian: bool = False, http: str = "httptools") -> None:
    """Serve on a free port of the loopback, told on stdout, until stdin ends: so it ends with whoever started it.

    `http` is uvicorn's protocol: the one that the framework's own `run` takes.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if granian:
        _serve_on_granian(app, packages)
        return
    listener = _bound_to_a_free_port()
    listener.listen(1024)
    _tell(listener.getsockname()[1], (*packages, "uvicorn", "uvloop", "httptools"))
    config = uvicorn.Config(
        app, loop="uvloop", http=http, access_log=False, log_level="error", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


def _serve_on_granian(app: Any, packages: tuple[str, ...]) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    # It binds the port itself, and can't tell which one it got: so a port is found for it first.
    with _bound_to_a_free_port() as probe:
        port: int = probe.getsockname()[1]

    def tell_once_open() -> None:
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.01)
        _tell(port, (*packages, "granian", "uvloop"))

    def loaded() -> Any:
        # Called in the worker, before it listens: its process is the one that is measured.
        threading.Thread(target=tell_once_open, daemon=True).start()
        return app

    # The app is made already, so the worker has to be a copy of this process.
    multiprocessing.set_start_method("fork")
    server = Granian(
        "the app",
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        blocking_threads=1,
        runtime_threads=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        log_enabled=False,
        workers_kill_timeout=2,
    )
    server.serve(target_loader=loaded, wrap_loader=False)


def _bound_to_a_free_port() -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


def _tell(port: int, packages: tuple[str, ...]) -> None:
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(json.dumps({"port": port, "process_id": os.getpid(), "versions": versions}), flush=True)


def _end_with_stdin() -> None:
    # Not through sys.stdin: its lock would be held for good in granian's worker, a copy of this process.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
