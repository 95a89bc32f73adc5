"""Both scenarios of the official conformance suite for authorization servers pass, without a warning or a skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.testing import find_available_port, run_server_in_process

from .authorization_suite import SCENARIOS, listed_scenarios, run_suite, serve


@pytest.mark.timeout(120)
def test_the_embedded_server_passes(node: str, tmp_path: Path) -> None:
    callback_port = find_available_port()
    with run_server_in_process(serve, callback_port=callback_port) as url:
        scenarios = run_suite(node, url, callback_port, tmp_path)
    offences = [offence for scenario in scenarios for offence in scenario.offences()]
    assert not offences, "\n".join(offences)
    assert sorted(scenario.name for scenario in scenarios) == sorted(SCENARIOS)
    assert sum(scenario.count("SUCCESS") for scenario in scenarios) == 3


def test_no_scenario_is_left_out(node: str) -> None:
    assert set(SCENARIOS) == listed_scenarios(node)
