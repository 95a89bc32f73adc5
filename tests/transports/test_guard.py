"""Host and Origin, as one table (http-behaviour: security of the edge)."""

from __future__ import annotations

import pytest

from headrace.transports.http.guard import Guard

OPEN = Guard()
LISTED = Guard(["api.example.com", "*.internal.example"], ["https://app.example"])


@pytest.mark.parametrize(
    ("guard", "host", "origin", "loopback", "status"),
    [
        (OPEN, "127.0.0.1:8000", None, True, None),
        (OPEN, "localhost", None, True, None),
        (OPEN, "[::1]:8000", None, True, None),
        (OPEN, "evil.example", None, True, 421),
        (OPEN, None, None, True, 421),
        (OPEN, "127.0.0.1.evil.example", None, True, 421),
        (OPEN, "localhost, evil.example", None, True, 421),
        (OPEN, "any.example", None, False, None),
        (OPEN, "127.0.0.1:8000", "http://127.0.0.1:8000", True, None),
        (OPEN, "127.0.0.1:8000", "http://localhost:3000", True, None),
        (OPEN, "127.0.0.1:8000", "http://evil.example", True, 403),
        (OPEN, "evil.example", "http://evil.example", True, 403),
        (OPEN, "127.0.0.1:8000", "null", True, 403),
        (OPEN, "127.0.0.1:8000", "", True, 403),
        (OPEN, "127.0.0.1:8000", "http://localhost@evil.example", True, 403),
        (OPEN, "127.0.0.1:8000", "http://127.0.0.1:x", True, 403),
        (OPEN, "127.0.0.1:8000", "file://localhost", True, 403),
        (OPEN, "any.example", "https://any.example", False, None),
        (OPEN, "any.example", "http://any.example", False, None),
        (OPEN, "any.example", "http://any.example:81", False, 403),
        (OPEN, "any.example", "http://localhost", False, 403),
        (OPEN, "any.example:8443", "https://any.example:8443", False, None),
        (LISTED, "api.example.com", None, False, None),
        (LISTED, "API.example.com:8443", None, False, None),
        (LISTED, "x.internal.example", None, False, None),
        (LISTED, "other.example", None, False, 421),
        (LISTED, "127.0.0.1", None, False, None),
        (LISTED, "api.example.com", "https://app.example", False, None),
        (LISTED, "api.example.com", "https://app.example.evil.example", False, 403),
        (LISTED, "other.example", "https://other.example", False, 403),
        (LISTED, "other.example", "https://app.example", False, 421),
    ],
)
def test_who_comes_in(guard: Guard, host: str | None, origin: str | None, loopback: bool, status: int | None) -> None:
    refusal = guard.verdict(host, origin, "http", loopback)
    assert (None if refusal is None else refusal.status) == status


def test_a_refused_host_is_told_which_setting_lets_it_in() -> None:
    refusal = OPEN.verdict("proxy.example", None, "http", True)
    assert refusal is not None
    assert b"allowed_hosts" in refusal.body
