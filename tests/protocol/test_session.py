"""The session's state table: what is not in it is refused."""

from __future__ import annotations

import pytest

from headrace.exceptions import InvalidRequest
from headrace.protocol.session import TRANSITIONS, advance


@pytest.mark.parametrize(
    ("events", "state"),
    [
        (["initialize"], "opened"),
        (["initialize", "request"], "opened"),
        (["initialize", "initialized"], "ready"),
        (["initialize", "initialized", "initialized", "request"], "ready"),
        (["initialize", "end"], "ended"),
    ],
)
def test_allowed(events: list[str], state: str) -> None:
    now = "new"
    for event in events:
        now = advance(now, event)
    assert now == state


@pytest.mark.parametrize(
    ("state", "event"), [("new", "request"), ("opened", "initialize"), ("ready", "initialize"), ("ended", "request")]
)
def test_refused(state: str, event: str) -> None:
    with pytest.raises(InvalidRequest, match=event):
        advance(state, event)


def test_every_state_that_is_reached_has_a_row() -> None:
    assert {target for row in TRANSITIONS.values() for target in row.values()} <= TRANSITIONS.keys()
