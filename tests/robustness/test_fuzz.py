"""What is matched or parsed takes time in proportion to its length, counted in steps and not by a clock.

The fuzz targets themselves are in `fuzz.py`, and run in `tests/soak/test_fuzz.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from headrace.client.transports import sse_parser
from headrace.client.transports.sse_parser import SseParser
from headrace.components import uri_template
from headrace.components.uri_template import UriTemplate


def steps(module: Any, work: Callable[[], object]) -> int:
    """Bytecode instructions of a module's functions while `work` runs."""
    count = 0

    def each(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return each

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return each

    before = sys.gettrace()
    sys.settrace(called)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


HOSTILE = {
    "one parameter": ("x://{a}/end", lambda n: "x://" + "a" * n),
    "many parameters": ("x://{a}-{b}-{c}-{d}-{e}-{f}/end", lambda n: "x://" + "a-" * n),
    "letters between": ("{a}a{b}a{c}a{d}a{e}b", lambda n: "a" * n),
    "wildcards": ("x://{a*}/{b*}/{c*}/{d*}/end", lambda n: "x://" + "a/" * n),
    "wildcards and segments": ("{a*}/{b}/{c*}.{d}", lambda n: "a/." * n),
    "a match": ("x://{a*}-{b*}", lambda n: "x://" + "-" * n),
    "percent signs": ("x://{a}", lambda n: "x://" + "%41" * n),
    "a query": ("x://{a}{?b,c*}", lambda n: "x://a?" + "c=1&" * n),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_cve_2026_0621_uri_templates_take_linear_time(name: str) -> None:
    text, make = HOSTILE[name]
    template = UriTemplate(text)
    template.match(make(64))
    short, long = (steps(uri_template, lambda n=n: template.match(make(n))) for n in (500, 2000))
    assert long <= 4.2 * short + 50


def test_a_uri_longer_than_any_takes_no_time() -> None:
    template = UriTemplate("x://{a}-{b}-{c}")
    assert steps(uri_template, lambda: template.match("x://" + "a-" * 32_768)) < 20


@pytest.mark.parametrize(
    "unit", [b"data: x\n", b"\n", b"\r", b":\r\n", b"id: 1\n\n", b"data\n\n", b"x" * 8, b"\xef\xbb\xbf"]
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_streams_of_events_take_linear_time(unit: bytes, size: int) -> None:
    def parse(n: int) -> None:
        parser, text = SseParser(), unit * n
        for at in range(0, len(text), size):
            parser.feed(text[at : at + size])

    parse(10)
    short, long = (steps(sse_parser, lambda n=n: parse(n)) for n in (500, 2000))
    assert long <= 4.2 * short + 100
