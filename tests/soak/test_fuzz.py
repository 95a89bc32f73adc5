"""The fuzz targets: the same 200 examples of each in `make test`, 10,000 new ones in `make soak`."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ..robustness.fuzz import TARGETS

SOAK = bool(os.environ.get("HEADRACE_SOAK"))
EXAMPLES = 10_000 if SOAK else 200


def test_there_are_as_many_targets_as_are_promised() -> None:
    assert len(TARGETS) == 7


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    target, examples = TARGETS[name]
    seen = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=(Phase.generate, Phase.shrink),
    )
    @given(examples)
    def run(example: object) -> None:
        nonlocal seen
        seen += 1
        target(example)

    run()
    assert seen >= EXAMPLES
