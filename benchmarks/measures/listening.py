"""A program: opens many listen streams, reads the server's memory, has one notice sent, and checks what came.

Every stream has a request id of its own, and must be acknowledged and then told exactly once.
"""

from __future__ import annotations

import http.client
import json
import select
import sys
import time

from ..cases import Case, messages, request_headers
from ..contenders import Wrong
from .processes import resident

__all__ = ["main"]

_WARM = 50
_PER_ADDRESS = 5_000
"""Streams from one loopback address, so that its ports suffice."""
_SECONDS = 60.0
_QUIET_SECONDS = 0.5
"""How long nothing may come after the last stream was told."""
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_CHANGED = "notifications/tools/list_changed"
_MARK = "io.modelcontextprotocol/subscriptionId"
_LISTEN = Case(
    "listen",
    "subscriptions/listen",
    "modern",
    "subscriptions/listen",
    {"notifications": {"toolsListChanged": True}},
    lambda result: True,
)


def _switch(on: bool) -> Case:
    """A call that changes the list of tools."""
    return Case(
        "switch",
        "tools/call",
        "modern",
        "tools/call",
        {"name": "switch", "arguments": {"on": on}},
        lambda result: not result.get("isError"),
    )


class _Stream:
    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.received = b""
        """What came after the acknowledgement, still in chunks."""
        source = (f"127.0.0.{1 + number // _PER_ADDRESS}", 0)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=source)
        self.connection.request("POST", "/mcp", _LISTEN.body(number), request_headers(_LISTEN))
        # Taken now, since the connection lets go of it when the answer ends with the connection.
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            raise Wrong(f"stream {number}: status {self.response.status}: {self.response.read(200)!r}")
        self.first = self._event()

    def _event(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.response.readline()).strip() or not lines:
            if not line:
                raise Wrong(f"stream {self.number} ended at once")
            lines.append(line)
        return b"".join(lines)

    def check_granted(self) -> None:
        for message in messages("text/event-stream", self.first):
            params = message.get("params", {})
            granted = params.get("notifications", {}).get("toolsListChanged") is True
            if message.get("method") == _ACKNOWLEDGED and granted and params["_meta"][_MARK] == self.number:
                return
        raise Wrong(f"stream {self.number} was not granted: {self.first[:300]!r}")

    def check_told_once(self) -> None:
        told = messages("text/event-stream", _without_chunks(self.received))
        if len(told) != 1 or told[0]["method"] != _CHANGED or told[0]["params"]["_meta"][_MARK] != self.number:
            raise Wrong(f"stream {self.number} got {told}, not the one notice")

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def _without_chunks(data: bytes) -> bytes:
    pieces: list[bytes] = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(rest[:length])
        data = rest[length + 2 :]
    return b"".join(pieces)


def _time_of_a_notice(streams: list[_Stream], port: int, switch: Case) -> float:
    """Seconds until the last stream has it, the call that causes it included."""
    by_file = {stream.socket.fileno(): stream for stream in streams}
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    caller.connect()
    waiting = len(streams)
    with select.epoll() as poll:
        for file in by_file:
            poll.register(file, select.EPOLLIN)
        started = finished = time.perf_counter()
        caller.request("POST", "/mcp", switch.body(1), request_headers(switch))
        # A while longer than until all have it, so that one which is told twice is found.
        while ready := poll.poll(_SECONDS if waiting else _QUIET_SECONDS):
            for file, _ in ready:
                stream = by_file[file]
                data = stream.socket.recv(65536)
                if not data:
                    raise Wrong(f"stream {stream.number} ended")
                had = _CHANGED.encode() in stream.received
                stream.received += data
                if not had and _CHANGED.encode() in stream.received:
                    waiting -= 1
                    finished = time.perf_counter()
    if waiting:
        raise Wrong(f"{waiting:,} of {len(streams):,} streams were not told within {_SECONDS:.0f} s")
    answer = caller.getresponse()
    verdict = switch.verdict(answer.status, answer.headers.get("Content-Type", ""), answer.read(), 1)
    if verdict:
        raise Wrong(f"the call that changes the tools: {verdict}")
    caller.close()
    for stream in streams:
        stream.check_told_once()
    return finished - started


def _measured(port: int, process_id: int, count: int, bare: bool) -> dict[str, float]:
    warm = [_Stream(port, number) for number in range(1, _WARM + 1)]
    if not bare:
        _time_of_a_notice(warm, port, _switch(False))
    for stream in warm:
        stream.close()
    time.sleep(1)
    empty = resident(process_id)
    streams = [_Stream(port, number) for number in range(1, count + 1)]
    time.sleep(1)
    each = (resident(process_id) - empty) / count
    if bare:
        return {"each": each}
    for stream in streams:
        stream.check_granted()
    return {"each": each, "notice": _time_of_a_notice(streams, port, _switch(True))}


def main() -> None:
    port, process_id, count, contender = sys.argv[1:]
    try:
        print(json.dumps(_measured(int(port), int(process_id), int(count), contender == "bare")))
    except (OSError, http.client.HTTPException, Wrong) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
