"""Runs the official conformance suite against ``examples/everything.py`` and reads what it found.

Shared by the test and by ``scripts/conformance.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["EXPECTED", "Expected", "Scenario", "fixture_server", "read_scenarios", "run_suite"]

ROOT = Path(__file__).parent.parent.parent
SUITE = ROOT / "tests/node/node_modules/@modelcontextprotocol/conformance/dist/index.js"
START_SECONDS = 20
SUITE_SECONDS = 120


@dataclass(frozen=True)
class Expected:
    scenarios: int
    successes: int
    """At least that many checks succeed. A server that offers less turns checks into INFO, which fails nothing."""


EXPECTED = {
    "2025-06-18": Expected(27, 56),
    "2025-11-25": Expected(33, 84),
    "2026-07-28": Expected(40, 152),
}


@dataclass
class Scenario:
    name: str
    checks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def count(self, status: str) -> int:
        return sum(check["status"] == status for check in self.checks)

    def offences(self) -> list[str]:
        """Every check that is neither SUCCESS nor INFO, one line each; an empty scenario is one too."""
        if not self.checks:
            return [f"{self.name}: no checks at all"]
        return [
            f"{self.name} / {check['id']}: {check['status']}: {_reason(check)}"
            for check in self.checks
            if check["status"] not in ("SUCCESS", "INFO")
        ]


def _reason(check: dict[str, Any]) -> str:
    return " ".join(str(check.get("errorMessage") or check.get("description") or "no message").split())


@contextlib.contextmanager
def fixture_server() -> Iterator[str]:
    """Start the example as its users do, on a free loopback port; yields the URL, stops the process at the end.

    Raises RuntimeError, with what the process said, when it does not start.
    """
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [sys.executable, str(ROOT / "examples/everything.py"), "--port", str(port)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            if not _listening(process, port):
                output.seek(0)
                raise RuntimeError("examples/everything.py did not start:\n" + output.read().decode(errors="replace"))
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listening(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


def run_suite(node: str, url: str, version: str, output: Path, *arguments: str) -> list[Scenario]:
    """One run of the suite at one revision; `arguments` replace ``--suite all``.

    Raises RuntimeError, with what the suite said, when it wrote no checks at all.
    """
    chosen = arguments or ("--suite", "all")
    command = [node, str(SUITE), "server", "--url", url, *chosen, "--spec-version", version, "-o", str(output)]
    # Its exit code says nothing about warnings and skipped checks: the files do.
    done = subprocess.run(command, capture_output=True, text=True, timeout=SUITE_SECONDS, check=False)
    scenarios = read_scenarios(output)
    if not scenarios:
        raise RuntimeError(f"the suite wrote no checks (exit code {done.returncode}):\n{done.stdout}{done.stderr}")
    return scenarios


def read_scenarios(output: Path) -> list[Scenario]:
    """The scenarios in an output folder: ``server-NAME-TIMESTAMP/checks.json`` each."""
    return [
        Scenario(_name(path.parent.name), json.loads(path.read_text()))
        for path in sorted(output.glob("**/checks.json"))
    ]


def _name(folder: str) -> str:
    """``server-caching-2026-11-24T10-00-00-000Z`` -> ``caching``."""
    head, _, tail = folder.removeprefix("server-").rpartition("T")
    return head.rsplit("-", 3)[0] if head and tail.endswith("Z") else folder
