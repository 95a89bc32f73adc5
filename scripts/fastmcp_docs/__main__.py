"""Do the servers in FastMCP's documentation run here, and answer alike?

``python scripts/fastmcp_docs GIT_DIR``, GIT_DIR a clone of github.com/PrefectHQ/fastmcp. Takes some minutes the first
time; FastMCP's answers are kept in the cache. Exit code 1 if less than ``--at-least`` per cent of the complete servers
of either revision run and answer alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from blocks import Block, for_headrace, read_blocks
from compare import Outcome, compared
from report import counted, report, write_json

__all__ = ["main"]

PROBE = Path(__file__).with_name("probe.py")
VERSION = 1
"""Of what the probe does; a change of it makes the answers kept from earlier runs worthless."""

REVISIONS = {"v2.13.0": "fastmcp==2.13.0", "HEAD": "fastmcp==4.2.3"}
ALL_WAYS = ["memory/legacy", "memory/modern", "http/legacy", "http/modern"]
WAYS = {"v2.13.0": ["memory/legacy", "http/legacy"], "HEAD": ALL_WAYS}
PACKAGES = ["pyyaml"]
"""What blocks import for themselves, and FastMCP happens to bring along."""

Records = dict[str, Any]


def main() -> int:
    options = _options()
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    given: list[str | None] = options.venv or [None, None]
    pythons = dict(zip(REVISIONS, given, strict=True))
    outcomes: list[Outcome] = []
    for revision in REVISIONS:
        blocks = [block for block in read_blocks(options.git_dir, revision) if options.only in block.id]
        outcomes += _outcomes(revision, blocks, pythons, cache, run=not options.compare_only)
    write_json(outcomes, cache / "outcomes.json")
    print("\n".join(report(outcomes, details=options.details)))
    complete = [each for each in outcomes if each.block.complete and each.block.later is None]
    shares = [counted(each for each in complete if each.block.revision == revision)[2] for revision in REVISIONS]
    return 0 if min(shares) >= options.at_least else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fastmcp_docs", description="Runs the servers of FastMCP's documentation.")
    parser.add_argument("git_dir", help="a clone of github.com/PrefectHQ/fastmcp")
    parser.add_argument("--venv", nargs=2, metavar=("V2", "NEWEST"), help="environments with the two FastMCPs")
    parser.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "headrace-fastmcp-docs"))
    parser.add_argument("--only", default="", help="blocks with this text in revision:page:line")
    parser.add_argument("--details", action="store_true", help="every difference, later steps too")
    parser.add_argument("--compare-only", action="store_true", help="compare what the last run wrote down")
    parser.add_argument("--at-least", type=float, default=95, metavar="PERCENT")
    return parser.parse_args()


def _outcomes(
    revision: str, blocks: list[Block], pythons: dict[str, str | None], cache: Path, *, run: bool
) -> list[Outcome]:
    python = _python(pythons[revision], REVISIONS[revision], cache)
    asked = [{"id": block.id, "sources": block.sources, "ways": WAYS[revision]} for block in blocks]
    theirs = _answers(python, "fastmcp", asked, cache / f"{revision}.json")
    newer: Records = {}
    if revision != "HEAD":
        newest = _python(pythons["HEAD"], REVISIONS["HEAD"], cache)
        newer = _answers(newest, "fastmcp", _again(blocks, theirs, str), cache / f"{revision}-newer.json")
    kept = cache / f"{revision}-headrace.json"
    if run:
        kept.unlink(missing_ok=True)
    packages = _packages(cache)
    ours = _answers(sys.executable, "headrace", _again(blocks, theirs, for_headrace), kept, packages)
    return [compared(block, theirs[block.id], newer.get(block.id), ours.get(block.id)) for block in blocks]


def _python(directory: str | None, requirement: str, cache: Path) -> str:
    """The interpreter of an environment with that FastMCP; made on the first use."""
    place = Path(directory) if directory else cache / requirement
    python = place / "bin/python"
    if not python.exists():
        print(f"Installing {requirement}", file=sys.stderr)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
    return str(python)


def _packages(cache: Path) -> str:
    place = cache / "packages"
    if not place.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), *PACKAGES]
        subprocess.run(command, check=True)
    return str(place)


def _again(blocks: Sequence[Block], theirs: Records, change: Callable[[str], str]) -> list[dict[str, Any]]:
    """The sources that ran, with the calls that were made."""
    jobs: list[dict[str, Any]] = []
    for block in blocks:
        found = theirs[block.id]
        servers = found["records"]["memory/legacy"].get("servers")
        if servers is not None:
            calls = {name: [call["call"] for call in seen["calls"]] for name, seen in servers.items()}
            number: int = found["source"]
            jobs.append({"id": block.id, "sources": [change(block.sources[number])], "ways": ALL_WAYS, "calls": calls})
    return jobs


def _answers(python: str, library: str, jobs: list[dict[str, Any]], kept_in: Path, packages: str = "") -> Records:
    """What the probe writes down, by block; answers to equal jobs are kept."""
    keys = {job["id"]: sha256(json.dumps([job, VERSION], sort_keys=True).encode()).hexdigest() for job in jobs}
    kept: Records = json.loads(kept_in.read_text(encoding="utf-8")) if kept_in.exists() else {}
    wanted = [job for job in jobs if keys[job["id"]] not in kept]
    if wanted:
        kept |= {keys[line["id"]]: line for line in _probed(python, library, wanted, packages)}
        kept_in.write_text(json.dumps(kept), encoding="utf-8")
    return {job["id"]: kept[keys[job["id"]]] for job in jobs}


def _probed(python: str, library: str, jobs: list[dict[str, Any]], packages: str) -> list[Any]:
    print(f"Running {len(jobs)} blocks under {library}", file=sys.stderr)
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PROBE_STDERR") if name in os.environ}
    with tempfile.TemporaryDirectory() as directory:
        asked, answered = Path(directory) / "jobs.json", Path(directory) / "records.jsonl"
        asked.write_text(json.dumps(jobs), encoding="utf-8")
        command = [python, "-W", "ignore", str(PROBE), library, str(asked), str(answered)]
        subprocess.run(command, check=True, env=passed | {"PYTHONPATH": packages})
        return [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
