"""Markdown pages and their examples: found, run from top to bottom, and held to what the page says they print.

* The ``python`` blocks of a page share one namespace, as in a notebook; ``await`` may stand at the top level. A block
  with ``if __name__ == "__main__":`` is also run as a program of its own, until it serves. Functions named ``test_...``
  are called.
* ``sh`` blocks are commands, run one after the other in the directory of the page's files.
* What a block prints is what its ``# -> text`` comments say, or the ``text`` block below it; ``...`` is anything.
* ``<!-- file: server.py -->`` above a block: it is also a file of that name.
* ``<!-- not run: reason -->`` above a block: it can't be run here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import shlex
import signal
import sys
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from headrace.testing import run_server_async

__all__ = ["ROOT", "Block", "Page", "blocks_of", "module_named"]

ROOT = Path(__file__).parents[2]
SECONDS = 30
SERVED = ("serves MCP on", "Uvicorn running on")
URL = "http://127.0.0.1:8000"
"""Where examples of clients find the server; the test gives it another port."""
PROGRAMS = ("headrace", "python", "uvicorn")

_FENCE = re.compile(r"^```(\w*)[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_COMMENTS = re.compile(r"(?:<!--((?:(?!-->).)*)-->\s*)+\Z", re.DOTALL)
_COMMENT = re.compile(r"<!--\s*(file|not run):\s*(.*?)\s*-->", re.DOTALL)
_SAYS = re.compile(r"#\s*->\s?(.*)$", re.MULTILINE)


@dataclass
class Block:
    page: Path
    line: int
    """Of the first line of its text."""
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    printed: str | None = None
    """What it is said to print; None where nothing is said."""
    is_output: bool = False
    """It is what the block above prints."""

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order. Raises ValueError for a comment that says nothing known."""
    source = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = 0
    for match in _FENCE.finditer(source):
        between = source[end : match.start()]
        end = match.end()
        line = source.count("\n", 0, match.start(2)) + 1
        block = Block(page, line, match[1], match[2])
        above = _COMMENTS.search(between)
        for name, value in _COMMENT.findall(above[0]) if above else ():
            if name == "file":
                block.file = value
            else:
                block.not_run = value
        if block.language == "text" and blocks and not between.strip() and blocks[-1].language in ("python", "sh"):
            block.is_output = True
            blocks[-1].printed = block.text
        blocks.append(block)
    for block in blocks:
        said = _SAYS.findall(block.text) if block.language == "python" else []
        if said:
            if block.printed is not None:
                raise ValueError(f"{block.place}: either comments say what it prints, or the block below")
            block.printed = "\n".join(said)
    return blocks


@dataclass
class Page:
    """The run of one page in a directory of its own, which is the working directory."""

    path: Path
    directory: Path
    module: ModuleType
    programs: list[asyncio.Task[str]] = field(default_factory=list)

    async def run(self, blocks: Iterable[Block]) -> None:
        try:
            for block in blocks:
                await self._run(block)
            for program in self.programs:
                await program
        finally:
            for program in self.programs:
                program.cancel()
            await asyncio.gather(*self.programs, return_exceptions=True)

    async def _run(self, block: Block) -> None:
        if block.file is not None:
            (self.directory / block.file).write_text(block.text, encoding="utf-8")
        if block.not_run is not None:
            return
        if block.language == "python":
            printed = await self._execute(block)
            if "__main__" in block.text:
                file = self.directory / f"program_{block.line}.py"
                file.write_text(_any_port(block.text), encoding="utf-8")
                self._later(block, [["python", file.name]])
        elif block.language == "sh":
            commands = [shlex.split(line, comments=True) for line in block.text.splitlines()]
            if block.printed is None:
                self._later(block, commands)
                return
            printed = "".join([await self._program(block, command) for command in commands if command])
        else:
            if block.language == "json":
                json.loads(block.text)
            return
        said = block.printed
        if said is not None:
            assert _alike(said, printed), f"{block.place} says it prints\n{said.strip()}\n-- but it printed\n{printed}"

    async def _execute(self, block: Block) -> str:
        """Run the block in the page's namespace; what it printed."""
        names = vars(self.module)
        text = block.text
        async with contextlib.AsyncExitStack() as stack:
            if URL in text:
                served = _Given(names["app"]) if "app" in names else names["mcp"]
                url = await stack.enter_async_context(run_server_async(served, path="/mcp"))
                text = text.replace(URL, url.removesuffix("/mcp"))
            # The lines of a traceback are those of the page.
            source = "\n" * (block.line - 1) + text
            code = compile(source, str(block.page), "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                async with asyncio.timeout(SECONDS):
                    await _awaited(eval(code, names))
                    for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE):
                        await _awaited(names[name]())
        return output.getvalue()

    def _later(self, block: Block, commands: list[list[str]]) -> None:
        """Processes take their time, so those whose output the page does not show run beside the rest."""
        for command in commands:
            if command:
                self.programs.append(asyncio.create_task(self._program(block, command)))

    async def _program(self, block: Block, command: list[str]) -> str:
        """Run a command to its end; one that serves is ended in good order once it does. What it wrote."""
        environment = self._environment()
        while "=" in command[0]:
            name, _, value = command.pop(0).partition("=")
            environment[name] = "0" if name == "HEADRACE_PORT" else value
        assert command[0] in PROGRAMS, f"{block.place}: {command[0]} needs <!-- not run: reason -->"
        process = await asyncio.create_subprocess_exec(
            *_with_any_port(command),
            cwd=self.directory,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        written = ""
        try:
            async with asyncio.timeout(SECONDS):
                while line := (await process.stdout.readline()).decode():
                    written += line
                    if any(text in line for text in SERVED):
                        if "stdio" in line:
                            process.stdin.close()  # as a client does
                        else:
                            process.send_signal(signal.SIGTERM)
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            process.stdin.close()
        assert code in (0, -signal.SIGTERM), f"{block.place}: {shlex.join(command)} ended with {code}:\n{written}"
        return written

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "XDG_"))}
        home = str(self.directory)
        path = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", "")])
        return {**own, "HOME": home, "USERPROFILE": home, "PATH": path, "HEADRACE_PORT": "0"}


class _Given:
    """An ASGI app of a page, as `run_server_async` wants a server."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.state = SimpleNamespace(path="/mcp")

    def http_app(self, **options: Any) -> Any:
        return self

    def drain(self) -> None:
        """Examples leave no streams open."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


async def _awaited(value: Any) -> None:
    if inspect.isawaitable(value):
        await value


def _any_port(text: str) -> str:
    return re.sub(r"\bport=\d+", "port=0", text)


def _with_any_port(command: list[str]) -> list[str]:
    given = list(command)
    for flag in ("--port", "-p"):
        if flag in given:
            given[given.index(flag) + 1] = "0"
            return given
    return [*given, "--port", "0"] if given[0] == "uvicorn" else given


def _alike(said: str, printed: str) -> bool:
    pattern = re.escape(said.strip()).replace(re.escape("..."), ".*")
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, lines, re.DOTALL) is not None


def module_named(name: str) -> ModuleType:
    module = ModuleType(name)
    names: dict[str, Any] = vars(module)
    names["__builtins__"] = __builtins__
    return module
