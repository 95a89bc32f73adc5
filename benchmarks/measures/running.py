"""Every measure with every contender in turn: there, back, and there again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from ..contenders import Wrong
from .clients import CLIENT_HTTP, CLIENT_MEMORY
from .figures import Figure, Measure
from .processes import Setting
from .sessions import SESSION_MEMORY
from .starts import IMPORT, MEMORY_IDLE, STDIO_START
from .streams import LISTEN_STREAMS

__all__ = ["MEASURES", "run"]

MEASURES: tuple[Measure, ...] = (
    IMPORT,
    STDIO_START,
    MEMORY_IDLE,
    SESSION_MEMORY,
    LISTEN_STREAMS,
    CLIENT_MEMORY,
    CLIENT_HTTP,
)


def run(names: Iterable[str], pythons: dict[str, str], quick: bool) -> list[Figure]:
    """The figures of the measures with these names, of the contenders that have an interpreter in `pythons`."""
    cores = sorted(os.sched_getaffinity(0))
    setting = Setting({**pythons, "headrace": sys.executable, "bare": sys.executable}, quick, cores[0], cores[-1])
    figures: list[Figure] = []
    for name in names:
        measure = next(measure for measure in MEASURES if measure.name == name)
        figures += _measured(measure, [each for each in measure.contenders if each in pythons], setting)
    return figures


def _measured(measure: Measure, contenders: list[str], setting: Setting) -> list[Figure]:
    figures = [Figure(measure, quantity) for quantity in measure.quantities]
    wrong: dict[str, str] = {}
    for turn in range(measure.untimed + measure.rounds[setting.quick]):
        for contender in contenders if turn % 2 == 0 else reversed(contenders):
            if contender in wrong:
                continue
            try:
                readings = measure.take(setting, contender)
            except Wrong as error:
                wrong[contender] = f"{contender}, {measure.name}: {error}"
                print(wrong[contender], file=sys.stderr, flush=True)
                continue
            if turn < measure.untimed:
                continue
            for figure in figures:
                if figure.quantity.name in readings:
                    figure.readings.setdefault(contender, []).append(readings[figure.quantity.name])
            said = ", ".join(f"{quantity} {value:,.4g}" for quantity, value in readings.items())
            print(f"{measure.name:14} {contender:10} {said}", flush=True)
    for figure in figures:
        figure.wrong = dict(wrong)
    return figures
