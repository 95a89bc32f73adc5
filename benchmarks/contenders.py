"""Who is measured: the environment of each contender, and its server as a process pinned to one core."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cases import HANDSHAKE, Case, request_headers

__all__ = ["CONTENDERS", "Contender", "Server", "Wrong", "python_of", "running"]

_SERVERS = Path(__file__).parent / "servers"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 20.0


class Wrong(Exception):
    """A contender did not start, or did not answer rightly; one line."""


@dataclass(frozen=True)
class Contender:
    """`requirements`: what is installed into its own environment; empty: it runs in the one of this program."""

    name: str
    title: str
    script: str
    requirements: tuple[str, ...] = ()

    def variants(self, case: Case) -> list[tuple[str, ...]]:
        """The configurations to try; the fastest is measured. Headrace has to do with its defaults."""
        if self.name == "bare":
            return [()]
        if case.mode == "stateless":
            return [("--stateless", "--json")]
        if not self.requirements or case.notes:
            return [()]
        if case.mode == "session":
            return [("--json",)] if case.peers_json else [()]
        return [(), ("--stateless", "--json")]


_UVICORN = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
CONTENDERS: tuple[Contender, ...] = (
    Contender("bare", "bare ASGI app (the limit)", "bare.py"),
    Contender("headrace", "Headrace", "headrace_server.py"),
    Contender("fastmcp", "FastMCP 4.2.3", "fastmcp_server.py", ("fastmcp==4.2.3", *_UVICORN)),
    Contender("mcp", "mcp 2.3.0", "mcp_server.py", ("mcp==2.3.0", *_UVICORN)),
)


def python_of(contender: Contender, cache: Path, given: dict[str, Path]) -> str:
    """The interpreter of its environment, which is made at the first run. Raises Wrong where that fails."""
    if not contender.requirements:
        return sys.executable
    if contender.name in given:
        return str(given[contender.name] / "bin/python")
    tag = "-".join(part.replace("==", "-") for part in contender.requirements[:1])
    home = cache / f"{tag}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, stamp = home / "bin/python", home / "complete"
    if not stamp.exists():
        print(f"installing {contender.title} into {home}", file=sys.stderr, flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *contender.requirements]
        for command in ([sys.executable, "-m", "venv", "--clear", str(home)], pip):
            if subprocess.run(command, timeout=600, check=False).returncode:
                raise Wrong(f"{contender.title} could not be installed")
        stamp.touch()
    return str(python)


@dataclass(frozen=True)
class Server:
    contender: Contender
    variant: tuple[str, ...]
    port: int
    versions: dict[str, str]
    process_id: int

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("POST", "/mcp", body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except OSError as error:
            raise Wrong(f"{self.contender.title}: {error}") from None
        finally:
            connection.close()

    def sessions(self, case: Case, count: int) -> list[str]:
        """`count` sessions, initialised; the bare app gets made-up ones of the usual length."""
        if self.contender.name == "bare":
            return [f"{number:032x}" for number in range(count)]
        return [self._session(case) for _ in range(count)]

    def _session(self, case: Case) -> str:
        params: dict[str, Any] = {
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        }
        initialize = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        status, headers, body = self.post(request_headers(case), json.dumps(initialize).encode())
        session = headers.get("Mcp-Session-Id")
        if status != 200 or not session:
            raise Wrong(f"{self.contender.title} made no session: status {status}, {body[:200]!r}")
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        status, _, body = self.post(request_headers(case, session), note)
        if status != 202:
            raise Wrong(f"{self.contender.title} refused notifications/initialized: status {status}, {body[:200]!r}")
        return session

    def answer(self, case: Case) -> tuple[str, bytes]:
        """The content type and the body of its answer, which is checked. Raises Wrong."""
        number = 1
        session = self.sessions(case, 1)[0] if case.mode == "session" else None
        status, headers, body = self.post(request_headers(case, session), case.body(number))
        content_type = headers.get("Content-Type", "")
        if wrong := case.verdict(status, content_type, body, number):
            raise Wrong(f"{self.contender.title}, {case.title}: {wrong}")
        return content_type, body


@contextlib.contextmanager
def running(
    contender: Contender, python: str, variant: tuple[str, ...], case: Case, core: int, *options: str
) -> Iterator[Server]:
    """Its server, started; ended by id when the block is left. Raises Wrong where it does not start."""
    command = ["taskset", "-c", str(core), python, str(_SERVERS / contender.script), *variant, *options]
    if case.tools and contender.name != "bare":
        command += ["--tools", str(case.tools)]
    # What another project put into the environment must not reach the contenders.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEADRACE_"))}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        line = process.stdout.readline() if ready else b""
        if not line:
            raise Wrong(f"{contender.title} did not start")
        told = json.loads(line)
        yield Server(contender, variant, told["port"], told["versions"], process.pid)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
        process.stdout.close()
