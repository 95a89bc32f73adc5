"""What every contender's server has in common: the functions it serves, and uvicorn around its app.

The scripts here run as programs, each in the environment of its contender; nothing of Headrace is imported here.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

__all__ = ["NOTES", "Options", "add", "add_sync", "big_text", "greeting", "listed_tools", "serve", "text"]

NOTES = 100
"""Progress notes of one call of `notes`."""
_BIG = "The quick brown fox jumps over the lazy dog; " * 23_302
Options = argparse.Namespace


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def add_sync(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


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
    parser.add_argument("--tools", type=int, default=0, help="serve only that many tools for a list")
    parser.add_argument("--body", help="a file with the answer (the bare app)")
    parser.add_argument("--content-type", default="application/json")
    return parser.parse_args()


def serve(app: Any, *packages: str) -> None:
    """Serve on a free port of the loopback, told on stdout, until stdin ends: so it ends with whoever started it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    versions = {name: importlib.metadata.version(name) for name in (*packages, "uvicorn", "uvloop", "httptools")}
    print(json.dumps({"port": listener.getsockname()[1], "versions": versions}), flush=True)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="error", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
