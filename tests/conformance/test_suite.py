"""The official conformance suite at three revisions: no check fails, warns or is skipped, and there is no baseline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .suite import EXPECTED, Scenario, fixture_server, read_scenarios, run_suite


@pytest.fixture(scope="module")
def url(node: str) -> Iterator[str]:
    with fixture_server() as url:
        yield url


@pytest.mark.timeout(180)
@pytest.mark.parametrize("version", EXPECTED)
def test_conformance(version: str, node: str, url: str, tmp_path: Path) -> None:
    scenarios = run_suite(node, url, version, tmp_path)
    expected = EXPECTED[version]
    offences = [line for scenario in scenarios for line in scenario.offences()]
    assert not offences, f"{len(offences)} checks at {version}:\n" + "\n".join(offences)
    assert len(scenarios) == expected.scenarios, sorted(scenario.name for scenario in scenarios)
    assert sum(scenario.count("SUCCESS") for scenario in scenarios) >= expected.successes


@pytest.mark.parametrize("status", ["FAILURE", "WARNING", "SKIPPED", "SOMETHING_NEW"])
def test_a_check_that_is_no_success_is_reported(status: str, tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-call-image-2026-11-24T10-00-00-000Z"
    folder.mkdir()
    checks = [
        {"id": "fine", "status": "SUCCESS", "description": "all is well"},
        {"id": "bad", "status": status, "errorMessage": "not\n  well"},
    ]
    (folder / "checks.json").write_text(json.dumps(checks))
    (scenario,) = read_scenarios(tmp_path)
    assert scenario.offences() == [f"tools-call-image / bad: {status}: not well"]
    assert scenario.count("SUCCESS") == 1


def test_a_scenario_without_checks_is_reported() -> None:
    assert Scenario("ping").offences() == ["ping: no checks at all"]
