"""A server over stdio that goes wrong: ``python faulty_program.py HOW WHEN``, where WHEN is a method.

Nothing of a framework is in it, so that it starts at once. Before WHEN it does what it should, in both eras.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
CAPABILITIES: dict[str, Any] = {"tools": {}}
BEGUN: dict[str, Any] = {
    "server/discover": {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": CAPABILITIES},
    "initialize": {
        "protocolVersion": HANDSHAKE,
        "capabilities": CAPABILITIES,
        "serverInfo": {"name": "faulty", "version": "1"},
    },
    "ping": {},
}
FOREVER = 3600
NOTE = {"method": "notifications/message", "params": {"level": "info", "data": "x"}}


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def say(**members: Any) -> None:
    write(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")


def done(id: Any, text: str = "done") -> None:
    say(id=id, result={"resultType": "complete", "content": [{"type": "text", "text": text}]})


def killed(id: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(id: Any) -> None:
    write(b'{"jsonrpc"')
    sys.exit(0)


def closes_stdout(id: Any) -> None:
    os.close(1)
    time.sleep(FOREVER)


def closes_both(id: Any) -> None:
    os.close(0)
    closes_stdout(id)


def orphans(id: Any) -> None:
    """Dies, and leaves a child that holds its stdout open."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    os.write(2, str(child.pid).encode())
    sys.exit(7)


def stalls(id: Any) -> None:
    time.sleep(FOREVER)


def half_a_line(id: Any) -> None:
    write(b'{"jsonrpc": "2.0", "id": ')
    time.sleep(FOREVER)


def endless_line(id: Any) -> None:
    while True:
        write(b"x" * 65536)


def floods_notes(id: Any) -> None:
    while True:
        say(**NOTE)


def floods_questions(id: Any) -> None:
    number = 0
    while True:
        number += 1
        say(id=f"q{number}", method="ping")


def floods_garbage(id: Any) -> None:
    while True:
        write(b"x\n" * 1000)


def floods_stderr(id: Any) -> None:
    for _ in range(1000):
        os.write(2, b"complaint " * 1000 + b"\n")
    done(id)


def garbage(id: Any) -> None:
    write(b"Hello!\r\n\n\n\xff\xfe\n\0\n[]\n{}\nnull\n5\n" + b"[" * 1_000_000 + b"\n" + b'{"a":' * 100_000 + b"\n")
    write(b'{"jsonrpc":"2.0","id":%d}\n[{"jsonrpc":"2.0"},5]\n' % id)
    say(method="notifications/progress", params={"progressToken": [], "progress": "x"})
    say(method="notifications/message", params={"level": 5})
    say(id="q", method="what/ever", params={})
    say(error={"code": -32700, "message": "what was that?"}, id="nobody")
    done(id)


def in_bytes(id: Any) -> None:
    answer = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "done"}]}})
    for byte in answer.encode() + b"\r\n":
        write(bytes([byte]))


def large(id: Any) -> None:
    done(id, "x" * 20_000_000)


def does_not_fit(id: Any) -> None:
    say(id=id, result={"content": 5})


def nested(id: Any) -> None:
    """An answer that nobody may read."""
    write(b'{"jsonrpc":"2.0","id":%d,"result":%b}\n' % (id, b"[" * 100 + b"]" * 100))


def twice(id: Any) -> None:
    done("nobody")
    done(id)
    done(id, "again")
    say(id=id, error={"code": 1, "message": "late"})


def deaf(id: Any) -> None:
    """Does not end when it should."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(FOREVER)


def reverse(id: Any, held: list[Any] = []) -> None:  # noqa: B006
    held.append(id)
    if len(held) == 100:
        while held:
            done(held[-1], str(held.pop()))


def main() -> None:
    how, when = sys.argv[1:]
    fault: Callable[[Any], None] = globals()[how]
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if id is None or method is None:
            continue
        if method == when:
            fault(id)
        else:
            say(id=id, result=BEGUN[method])


if __name__ == "__main__":
    main()
