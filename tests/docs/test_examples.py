"""Every example in ``docs/`` and in README.md runs, and prints what the page says; see `pages`."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from headrace import FastMCP, Settings

from .pages import ROOT, Page, blocks_of, module_named

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "sh", "json", "text", "ini"}
NOT_RUN = {"cli.md": 4}
"""How many blocks of a page can't be run here; each says why."""

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
async def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_named("docs_" + re.sub(r"\W", "_", page.stem))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    blocks = blocks_of(page)
    if page == ROOT / "README.md":  # its commands set up this project
        blocks = [block for block in blocks if block.language == "python"]
    await Page(page, tmp_path, module).run(blocks)


@pytest.mark.parametrize("page", PAGES[1:], ids=name)
def test_every_block_is_covered(page: Path) -> None:
    blocks = blocks_of(page)
    for block in blocks:
        assert block.language in LANGUAGES, f"{block.place}: say what it is, one of {', '.join(sorted(LANGUAGES))}"
        if block.language == "text":
            assert block.is_output or block.not_run, f"{block.place}: no example above prints this"
        if block.language == "python" and "print(" in block.text and block.not_run is None and block.file is None:
            assert block.printed is not None, f"{block.place}: say what it prints"
        assert block.not_run is None or len(block.not_run) > 10, f"{block.place}: say why it can't be run"
    assert sum(block.not_run is not None for block in blocks) == NOT_RUN.get(page.name, 0)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)}: {target}"
        if anchor:
            assert anchor[1:] in _anchors(file), f"{name(page)}: {target}{anchor}"


def test_options_and_settings_are_those_of_the_code() -> None:
    servers, cli = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("servers.md", "cli.md"))
    options = list(inspect.signature(FastMCP).parameters)
    assert not [option for option in options if f"`{option}`" not in servers]
    variables = {f"HEADRACE_{each.name.upper()}" for each in fields(Settings)} | {"HEADRACE_ENV_FILE"}
    assert set(re.findall(r"HEADRACE_[A-Z_]*[A-Z]", cli)) <= variables


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    missing = [page.name for page in PAGES[1:] if page.name != "README.md" and f"({page.name}" not in index]
    assert not missing


def _anchors(page: Path) -> set[str]:
    """Anchors of headings, as forges make them."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
