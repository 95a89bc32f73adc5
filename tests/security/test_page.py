"""docs/security.md: every test it names is there, and every test of an item or an advisory is named."""

from __future__ import annotations

import re

from ..conftest import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
NAMED = set(re.findall(r"`(test_\w+)`", PAGE))


def named_in(pattern: str) -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").glob(pattern):
        if "node_modules" not in path.parts:
            found |= set(DEFINED.findall(path.read_text(encoding="utf-8")))
    return found


def test_every_test_that_the_page_names_is_there() -> None:
    assert len(NAMED) > 50
    assert not NAMED - (named_in("*.py") | named_in("[!n]*/*.py") | named_in("server/auth/*.py"))


def test_every_item_and_every_advisory_is_on_the_page() -> None:
    here = named_in("security/test_advisories.py") | named_in("security/test_checklist.py")
    assert not here - NAMED - {"test_the_house_stands"}


def test_every_number_of_the_checklist_has_a_row() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(",")] == list(range(1, 33))
