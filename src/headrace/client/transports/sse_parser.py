"""Server-sent events: bytes in, events out (WHATWG HTML, 9.2.6), whatever the pieces they come in.

The parser never waits and keeps at most one unfinished line and one unfinished event.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...exceptions import ClientError

__all__ = ["MAX_EVENT_BYTES", "SseEvent", "SseParser"]

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""A line, and the data of an event, are at most this long unless told otherwise."""
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_DIGITS = re.compile(rb"[0-9]{1,15}")


class SseEvent(NamedTuple):
    event: str
    """"message" unless the stream names another."""
    data: bytes
    """Lines joined by a line feed; empty for the event that only primes a stream."""
    id: str | None
    """The last event id as of this event."""


class SseParser:
    """Feed it bytes; `last_event_id` and `retry_ms` are what a reconnection needs. `source` is how errors call it."""

    def __init__(
        self, source: str = "The stream", *, max_line: int = MAX_EVENT_BYTES, max_event: int = MAX_EVENT_BYTES
    ) -> None:
        self._source = source
        self._max_line = max_line
        self._max_event = max_event
        self.last_event_id: str | None = None
        self.retry_ms: int | None = None
        self._id: str | None = None
        self.reset()

    def reset(self) -> None:
        """A new connection of the same stream: unfinished parts are dropped, the id and the delay stay."""
        self._partial = bytearray()
        self._at_start = True
        self._after_cr = False
        self._event = b""
        self._data: bytes | bytearray | None = None
        self._id = self.last_event_id

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that these bytes complete. Raises ClientError past the limits."""
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        first, *rest = _LINE_END.split(chunk)
        self._partial += first
        if max(len(self._partial), max(map(len, rest), default=0)) > self._max_line:
            raise ClientError(f"{self._source} has a line longer than {self._max_line} bytes")
        if not rest:
            return []
        events: list[SseEvent] = []
        lines = [bytes(self._partial), *rest[:-1]]
        self._partial = bytearray(rest[-1])
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            if len(self._data or b"") + len(value) >= self._max_event:
                raise ClientError(f"{self._source} has an event larger than {self._max_event} bytes")
            if self._data is None:
                self._data = value
            else:  # one piece of memory, however short the lines are
                if isinstance(self._data, bytes):
                    self._data = bytearray(self._data)
                self._data += b"\n" + value
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif name == b"retry" and _DIGITS.fullmatch(value):
            self.retry_ms = int(value)
        # A line that begins with a colon is a comment, an unknown field is ignored.

    def _dispatch(self, events: list[SseEvent]) -> None:
        # An id counts from here on: that of an event cut off in the middle must not be resumed from.
        self.last_event_id = self._id
        if self._data is not None:
            kind = self._event.decode(errors="replace") or "message"
            events.append(SseEvent(kind, bytes(self._data), self._id))
            self._data = None
        self._event = b""
