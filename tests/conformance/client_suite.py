"""Runs the official conformance suite in client mode against ``client.py``, one scenario at a time.

Shared by the test and by ``scripts/conformance.py``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .client import SCENARIOS
from .suite import SUITE, Scenario, read_scenarios

__all__ = ["SCENARIOS", "Outcome", "listed_scenarios", "run_scenario", "run_scenarios"]

CLIENT = Path(__file__).parent / "client.py"
SECONDS = 45
AT_ONCE = 2
"""Most of a scenario is the start of two processes; more at a time than a small machine has cores gains nothing."""


@dataclass(frozen=True)
class Outcome:
    scenario: Scenario
    exit_code: int
    """The suite's. It is 0 in some scenarios whatever the client's was."""
    log: str

    def offences(self) -> list[str]:
        """Why it has not passed, one line each. Checks that do not apply are skipped, but not all of them may be."""
        name = self.scenario.name
        found = Scenario(name, [each for each in self.scenario.checks if each["status"] != "SKIPPED"]).offences()
        if not found and not self.scenario.count("SUCCESS"):
            found = [f"{name}: no check succeeded"]
        if self.exit_code or "Client exited with code" in self.log or "timed out" in self.log:
            found.append(f"{name}: exit code {self.exit_code}:\n{self.log}")
        return found


def run_scenario(node: str, name: str, output: Path) -> Outcome:
    """Raises RuntimeError where the suite says nothing in time."""
    command = shlex.join([sys.executable, str(CLIENT)])
    limit = ("--timeout", str(SECONDS * 1000))
    asked = [node, str(SUITE), "client", "--command", command, "--scenario", name, *limit, "-o", str(output)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    try:
        done = subprocess.run(asked, capture_output=True, text=True, env=environment, timeout=SECONDS + 10, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{name}: the suite did not end within {error.timeout:g} seconds") from None
    checks = [check for scenario in read_scenarios(output) for check in scenario.checks]
    return Outcome(Scenario(name, checks), done.returncode, done.stdout + done.stderr)


@contextmanager
def run_scenarios(node: str, names: Iterable[str], output: Path) -> Iterator[dict[str, Future[Outcome]]]:
    """Begins all of them, some at a time; what has not begun at the end is left out."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield {
                name: pool.submit(run_scenario, node, name, output / str(number)) for number, name in enumerate(names)
            }
        finally:
            pool.shutdown(cancel_futures=True)


def listed_scenarios(node: str) -> set[str]:
    """What the suite has for clients."""
    done = subprocess.run(
        [node, str(SUITE), "list", "--client"], capture_output=True, text=True, timeout=60, check=True
    )
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  - ")}
