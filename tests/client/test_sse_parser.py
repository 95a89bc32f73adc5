from __future__ import annotations

import random

import pytest

from headrace.client.transports.sse_parser import SseEvent, SseParser
from headrace.exceptions import ClientError

STREAM = (
    "\ufeff: hello\n\n"
    "id: 1\nretry: 250\ndata: \n\n"
    "event: message\rdata: a\rdata:  b\rdata\r\r"
    'data:{"x":"ü€"}\r\nid: zwei\r\n\r\n'
    "event: other\ndata: c\n\n"
    "event: dropped\n\n"
    "id: bad\0id\nunknown: field\nretry: soon\ndata: last\n\n"
    "id: unfinished\ndata: lost\n"
).encode()
EVENTS = [
    SseEvent("message", b"", "1"),
    SseEvent("message", b"a\n b\n", "1"),
    SseEvent("message", '{"x":"ü€"}'.encode(), "zwei"),
    SseEvent("other", b"c", "zwei"),
    SseEvent("message", b"last", "zwei"),
]


def parse(pieces: list[bytes]) -> tuple[list[SseEvent], SseParser]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)], parser


def test_events_of_a_whole_stream() -> None:
    events, parser = parse([STREAM])
    assert events == EVENTS
    assert parser.last_event_id == "zwei"
    assert parser.retry_ms == 250


def test_every_split_gives_the_same_events() -> None:
    for at in range(len(STREAM) + 1):
        assert parse([STREAM[:at], STREAM[at:]])[0] == EVENTS, at


def test_single_bytes_and_random_pieces_give_the_same_events() -> None:
    assert parse([bytes([byte]) for byte in STREAM])[0] == EVENTS
    random_ = random.Random(7)
    for _ in range(300):
        cuts = sorted(random_.sample(range(len(STREAM)), random_.randrange(1, 12)))
        pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
        assert parse(pieces)[0] == EVENTS, cuts


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_means_the_same(end: str) -> None:
    text = STREAM.decode().replace("\r\n", "\n").replace("\r", "\n").replace("\n", end).encode()
    for at in range(len(text) + 1):
        assert parse([text[:at], b"", text[at:]])[0] == EVENTS, at


def test_an_unfinished_event_is_not_resumed_from() -> None:
    parser = SseParser()
    parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert parser.last_event_id == "1"
    parser.reset()
    assert parser.feed(b"data: c\n\n") == [SseEvent("message", b"c", "1")]


def test_long_lines_and_large_events_are_errors() -> None:
    with pytest.raises(ClientError, match="line"):
        SseParser(max_line=10).feed(b"data: 0123456789")
    parser = SseParser(max_line=10)
    parser.feed(b"data: 012")
    with pytest.raises(ClientError, match="line"):
        parser.feed(b"345\n")
    with pytest.raises(ClientError, match="line"):
        SseParser(max_line=10).feed(b"\n\ndata: 0123456789\n\n")
    with pytest.raises(ClientError, match="event"):
        SseParser(max_event=10).feed(b"data: 0123\n" * 3)
    assert len(SseParser(max_event=10).feed(b"data: 0123\n\n" * 3)) == 3
