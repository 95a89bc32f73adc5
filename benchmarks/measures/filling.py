"""A program: sessions made one after the other on one connection, twice, and the server's memory at each step.

The sessions are looked at after each fill: those of the fill are there, those of the one before are not.
"""

from __future__ import annotations

import http.client
import json
import sys
import time

from ..cases import CASES, INITIALIZED, request_headers
from ..contenders import Wrong
from .processes import resident

__all__ = ["main"]

_HELLO = next(case for case in CASES if case.mode == "sessions")
_CALL = next(case for case in CASES if case.mode == "session")
_WARM = 20
_LOOKED_AT = 50


class _Sessions:
    def __init__(self, port: int, process_id: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._process_id = process_id

    def _send(self, method: str, headers: dict[str, str], body: bytes | None) -> http.client.HTTPResponse:
        self._connection.request(method, "/mcp", body, headers)
        return self._connection.getresponse()

    def fill(self, count: int) -> list[str]:
        return [self._made() for _ in range(count)]

    def _made(self) -> str:
        response = self._send("POST", request_headers(_HELLO), _HELLO.body(0))
        body, session = response.read(), response.headers.get("Mcp-Session-Id")
        if response.status != 200 or not session:
            raise Wrong(f"no session: status {response.status}, {body[:200]!r}")
        response = self._send("POST", request_headers(_CALL, session), INITIALIZED)
        body = response.read()
        if response.status != 202:
            raise Wrong(f"notifications/initialized refused: status {response.status}, {body[:200]!r}")
        return session

    def check(self, sessions: list[str]) -> None:
        """That they answer."""
        for number, session in enumerate(sessions, 1):
            response = self._send("POST", request_headers(_CALL, session), _CALL.body(number))
            verdict = _CALL.verdict(response.status, response.headers.get("Content-Type", ""), response.read(), number)
            if verdict:
                raise Wrong(f"session {number} of {len(sessions)}: {verdict}")

    def check_gone(self, sessions: list[str]) -> None:
        for session in sessions:
            response = self._send("POST", request_headers(_CALL, session), _CALL.body(1))
            response.read()
            if response.status != 404:
                raise Wrong(f"a session that is over was answered with status {response.status}")

    def end(self, sessions: list[str]) -> None:
        for session in sessions:
            response = self._send("DELETE", request_headers(_CALL, session), None)
            response.read()
            if response.status not in (200, 204):
                raise Wrong(f"DELETE of a session: status {response.status}")

    def rest(self, seconds: float) -> None:
        # Closed first: a server ends a connection on which nothing is asked for a while.
        self._connection.close()
        time.sleep(seconds)

    def resident(self) -> float:
        time.sleep(0.5)
        return resident(self._process_id)


def _measured(port: int, process_id: int, count: int, idle_timeout: float) -> dict[str, float]:
    sessions = _Sessions(port, process_id)
    warm = sessions.fill(_WARM)
    sessions.check(warm)
    sessions.end(warm)
    empty = sessions.resident()
    first = sessions.fill(count)
    full = sessions.resident()
    some = slice(0, count, count // _LOOKED_AT)
    sessions.check(first[some])
    sessions.rest(idle_timeout + 1)
    second = sessions.fill(count)
    again = sessions.resident()
    sessions.check(second[some])
    sessions.check_gone(first[some])
    added = again - full
    return {
        "each": (full - empty) / count,
        "growth": added / (full - empty) * 100,
        "growth-of-all": added / full * 100,
    }


def main() -> None:
    port, process_id, count, idle_timeout = sys.argv[1:]
    try:
        print(json.dumps(_measured(int(port), int(process_id), int(count), float(idle_timeout))))
    except (OSError, http.client.HTTPException, Wrong) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
