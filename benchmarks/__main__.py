"""``python -m benchmarks``: every case against every contender in turn, in one run, on one machine.

Each server has one core and the load another. A case's contenders are all started, checked, and then timed in turn:
there, back, and there again (A-B-A), so that a machine that grows slower or faster shows as spread and not as a ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from .cases import CASES, JUDGED_AT, Case
from .contenders import CONTENDERS, Contender, Server, Wrong, program_of, running
from .load import timed
from .measures import MEASURES
from .measures import run as run_measures
from .plot import plot
from .report import Row, write

__all__ = ["main"]

_RESULTS = Path(__file__).parent / "results"


def _parser() -> argparse.ArgumentParser:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="five minutes: what is judged, timed for 1 s, there and back"
    )
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="only these")
    parser.add_argument(
        "--measures", nargs="+", choices=[each.name for each in MEASURES], help="only these of the other figures"
    )
    parser.add_argument("--contenders", nargs="+", choices=names, help="only these")
    parser.add_argument("--connections", nargs="+", type=int, help="default: what tells something of a case")
    parser.add_argument("--seconds", type=int, help="of each timing; default: 2")
    parser.add_argument("--rounds", type=int, help="how often each is timed; default: 3")
    parser.add_argument(
        "--venv", nargs="+", default=[], metavar="NAME=PATH", help="environments that are there already"
    )
    parser.add_argument("--output", type=Path, help="path of the results without suffix; default: results/DATE")
    return parser


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Wrong("The benchmarks need two cores: one for the server, one for the load")
    return cores[0], cores[-1]


class _Run:
    def __init__(self, options: argparse.Namespace, programs: dict[str, str]) -> None:
        quick: bool = options.quick
        self._connections: list[int] | None = options.connections or ([JUDGED_AT] if quick else None)
        self._seconds: int = options.seconds or (1 if quick else 2)
        self._rounds: int = options.rounds or (2 if quick else 3)
        self._programs = programs
        self._server_core, self._load_core = _cores()
        self.versions: dict[str, dict[str, str]] = {}
        self.rows: list[Row] = []
        self._left_out: dict[tuple[str, str], list[str]] = {}

    def case(self, case: Case, contenders: list[Contender]) -> None:
        """All of one case. Whoever answers wrongly is told of in the table, and not timed."""
        numbers = self._connections or case.connections
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers: list[Server] = []
            for contender in contenders:
                if reason := contender.left_out(case):
                    self._left_out.setdefault((contender.title, reason), []).append(case.name)
                    continue
                try:
                    servers.append(self._ready(stack, contender, case, folder))
                    self.versions[contender.name] = servers[-1].versions
                except Wrong as error:
                    print(error, file=sys.stderr, flush=True)
                    self.rows += [Row(case, n, contender.name, (), wrong=str(error)) for n in numbers]
            for connections in numbers:
                self._rows(case, connections, servers)

    def _ready(self, stack: contextlib.ExitStack, contender: Contender, case: Case, folder: Path) -> Server:
        """Started, checked and warm, in the fastest of its configurations."""
        if contender.bare:
            return self._bare(stack, contender, case, folder)
        tried: list[tuple[float, Server]] = []
        for variant in contender.variants(case):
            program = self._programs[contender.name]
            server = stack.enter_context(running(contender, program, variant, case, self._server_core))
            server.answer(case)
            sessions = server.sessions(case, JUDGED_AT) if case.mode == "session" else []
            tried.append((timed(server, case, JUDGED_AT, sessions, 1, self._load_core).per_second, server))
        return max(tried, key=lambda trial: trial[0])[1]

    def _bare(self, stack: contextlib.ExitStack, bare: Contender, case: Case, folder: Path) -> Server:
        headrace = next(contender for contender in CONTENDERS if contender.name == "headrace")
        variant = headrace.variants(case)[0]
        with running(headrace, sys.executable, variant, case, self._server_core) as model:
            content_type, body = model.answer(case)
        path = folder / "answer"
        path.write_bytes(body)
        options = ("--body", str(path), "--content-type", content_type)
        server = stack.enter_context(running(bare, sys.executable, (), case, self._server_core, *options))
        if server.answer(case) != (content_type, body):
            raise Wrong("The bare app does not send the bytes of Headrace's answer")
        return server

    def _rows(self, case: Case, connections: int, servers: list[Server]) -> None:
        rows = {
            server.contender.name: Row(case, connections, server.contender.name, server.variant) for server in servers
        }
        self.rows += rows.values()
        sessions: dict[str, list[str]] = {}
        for turn in range(self._rounds):
            for server in servers if turn % 2 == 0 else reversed(servers):
                name = server.contender.name
                row = rows[name]
                if row.wrong is not None:
                    continue
                try:
                    if name not in sessions:
                        sessions[name] = server.sessions(case, connections) if case.mode == "session" else []
                    timing = timed(server, case, connections, sessions[name], self._seconds, self._load_core)
                    server.answer(case)
                except Wrong as error:
                    row.wrong = str(error)
                    print(error, file=sys.stderr, flush=True)
                    continue
                row.timings.append(timing)
                print(f"{case.name:12} {connections:4} {name:16} {timing.per_second:9,.0f}/s", flush=True)

    def about(self) -> dict[str, Any]:
        left_out = [f"{title} from {', '.join(cases)}: {why}" for (title, why), cases in self._left_out.items()]
        return {
            "date": datetime.date.today().isoformat(),
            "Python": platform.python_version(),
            "processor": f"{platform.machine()}, server on core {self._server_core}, load on core {self._load_core}",
            "method": f"{self._rounds} timings of {self._seconds} s each, in turn there and back; wrk with one thread",
            **({"left out": "; ".join(left_out)} if left_out else {}),
            "versions": self.versions,
        }


def main() -> int:
    options = _parser().parse_args()
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            print(f"{program} is not installed: the benchmarks need it (Debian: wrk, util-linux)", file=sys.stderr)
            return 1
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace-benchmarks"
    given = {name: Path(path) for name, _, path in (pair.partition("=") for pair in options.venv)}
    quick: bool = options.quick
    # Quickly means what is judged; who is named is in it all the same.
    contenders = [each for each in CONTENDERS if not options.contenders or each.name in options.contenders]
    # Whoever names only cases, or only measures, means that there shall be none of the others.
    cases = [each for each in CASES if (each.name in options.cases if options.cases else not options.measures)]
    named: list[str] = options.measures or []
    measures = named or [each.name for each in MEASURES if not options.cases and (each.judged or not quick)]
    if quick:
        contenders = [each for each in contenders if options.contenders or not each.granian]
        cases = [each for each in cases if options.cases or each.judged]
    if not cases:
        measured = {name for each in MEASURES if each.name in measures for name in each.contenders}
        contenders = [each for each in contenders if each.name in measured]
    try:
        programs = {contender.name: program_of(contender, cache, given) for contender in contenders}
        run = _Run(options, programs)
    except Wrong as error:
        print(error, file=sys.stderr)
        return 1
    stem = options.output or _RESULTS / (datetime.date.today().isoformat() + ("-quick" if options.quick else ""))
    for case in cases:
        run.case(case, contenders)
        write(run.rows, run.about(), stem)  # after each case: an interrupted run keeps what it has
        plot(run.rows, datetime.date.today().isoformat(), stem.with_suffix(".svg"))
    figures = run_measures(measures, programs, quick)
    write(run.rows, run.about(), stem, figures)
    print(stem.with_suffix(".md").read_text())
    return 1 if any(row.wrong for row in run.rows) or any(figure.wrong for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
