"""Every client scenario of the official conformance suite passes, by its checks and by exit code; there is no baseline.

A warning fails, too, and a scenario whose checks were all skipped has not passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from .client_suite import SCENARIOS, Outcome, listed_scenarios, run_scenarios
from .suite import Scenario


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, node: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Those that were chosen to run; they run ahead of the tests that ask for them."""
    chosen = [
        str(item.callspec.params["scenario"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_scenario
    ]
    with run_scenarios(node, chosen, tmp_path_factory.mktemp("scenarios")) as outcomes:
        yield outcomes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, outcomes: dict[str, Future[Outcome]]) -> None:
    offences = outcomes[scenario].result().offences()
    assert not offences, "\n".join(offences)


def test_no_scenario_is_left_out(node: str) -> None:
    assert set(SCENARIOS) == listed_scenarios(node)
    assert len(SCENARIOS) == 48


@pytest.mark.parametrize(
    ("statuses", "exit_code", "log", "passes"),
    [
        (["SUCCESS", "INFO"], 0, "", True),
        (["SUCCESS", "SKIPPED"], 0, "", True),
        (["SKIPPED", "SKIPPED"], 0, "", False),
        (["SKIPPED", "INFO"], 0, "", False),
        ([], 0, "", False),
        (["SUCCESS", "WARNING"], 0, "", False),
        (["SUCCESS", "FAILURE"], 0, "", False),
        (["SUCCESS", "SOMETHING_NEW"], 0, "", False),
        (["SUCCESS"], 1, "", False),
        (["SUCCESS"], 0, "Client exited with code 1", False),
        (["SUCCESS"], 0, "Client timed out after 1000ms", False),
    ],
)
def test_what_has_passed(statuses: list[str], exit_code: int, log: str, passes: bool) -> None:
    checks = [{"id": str(number), "status": status} for number, status in enumerate(statuses)]
    outcome = Outcome(Scenario("any", checks), exit_code, log)
    assert (outcome.offences() == []) is passes
