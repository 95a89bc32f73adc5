"""Versions are names, and unknown ones are unknown."""

from __future__ import annotations

import pytest

from headrace.protocol.versions import ERAS, HANDSHAKE_VERSIONS, MODERN_VERSIONS, SERVED_VERSIONS, era


@pytest.mark.parametrize("version", ["", "2099-01-01", "zzz", "2025-06-18 ", None])
def test_unknown(version: str | None) -> None:
    assert era(version) is None


def test_lists_are_newest_first_and_complete() -> None:
    handshake = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
    modern = ["2026-07-28"]
    assert (handshake, modern) == (HANDSHAKE_VERSIONS, MODERN_VERSIONS)
    served = [*modern, *handshake[:-1]]
    assert served == SERVED_VERSIONS
    assert set(ERAS) == {*modern, *handshake}


def test_only_one_revision_has_batches() -> None:
    assert [row.version for row in ERAS.values() if row.batches] == ["2025-03-26"]
