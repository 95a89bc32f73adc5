"""Messages of a byte stream: one line each (2026-07-28, stdio)."""

from __future__ import annotations

__all__ = ["Lines", "line"]


class Lines:
    """Feed it bytes, get lines; at most one unfinished line of `limit` bytes is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that these bytes complete, blank ones left out; None is a line that gets longer than allowed."""
        first, *rest = chunk.split(b"\n")
        lines: list[bytes | None] = []
        self._keep(first, lines)
        for piece in rest:
            self._end(lines)
            self._keep(piece, lines)
        return lines

    def end(self) -> list[bytes | None]:
        """What came after the last line feed."""
        lines: list[bytes | None] = []
        self._end(lines)
        return lines

    def _keep(self, piece: bytes, lines: list[bytes | None]) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            if not self._skipping:
                lines.append(None)  # at once: it may never end
            self._skipping = True
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _end(self, lines: list[bytes | None]) -> None:
        found = b"".join(self._parts).strip()
        if found:
            lines.append(found)
        self._parts.clear()
        self._size, self._skipping = 0, False


def line(message: bytes) -> bytes:
    """A message as a line. What a server passes on as it came may be laid out in lines; inside of strings there are
    none."""
    if b"\n" in message or b"\r" in message:
        message = message.replace(b"\n", b" ").replace(b"\r", b" ")
    return message + b"\n"
