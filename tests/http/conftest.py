"""Fixtures of the HTTP tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import httpx2
import pytest

from .servers import Site


@pytest.fixture(scope="session")
async def http() -> AsyncGenerator[httpx2.AsyncClient]:
    """A client that sends no header by itself but those that HTTP needs, and follows no redirect."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx2.AsyncClient(verify=False, timeout=5, limits=limits, trust_env=False) as client:
        for name in ("accept", "accept-encoding", "user-agent"):
            del client.headers[name]
        yield client


@pytest.fixture(autouse=True)
def _nothing_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test its server is idle: no call, no open stream, no task."""
    yield
    for site in [value for value in request.node.funcargs.values() if isinstance(value, Site)]:
        site.settle()
