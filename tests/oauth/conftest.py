"""A certified OpenID provider, a user with a browser, and MCP servers behind that provider's tokens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from ..conftest import missing
from .browser import Browser, browsing, programs
from .resource import Site, serving_site

PROVIDER = Path(__file__).parent / "provider.mjs"
SECONDS = 20.0
REDIRECT = "http://localhost/callback"
"""For whatever port (RFC 8252, 7.3)."""
DOCUMENT = "https://headrace.example/client.json"
SECRET = "a secret: with/odd+characters%"
NATIVE = {
    "application_type": "native",
    "redirect_uris": [REDIRECT],
    "grant_types": ["authorization_code", "refresh_token"],
}
MACHINE: dict[str, Any] = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]


class Provider:
    """The provider's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.issuer: str = self._read()["issuer"]

    def happened(self, event: str | None = None) -> list[dict[str, Any]]:
        """What has happened since the last time, or those of it that are called `event`; the others are gone."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [each for each in self._read() if event in (None, each["event"])]

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="session")
def machine_key() -> ECKey:
    """The private key of the client "machine-key"."""
    return ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"})


@contextmanager
def providing(node: str, key: ECKey, folder: Path, methods: list[str]) -> Iterator[Provider]:
    """The provider, ended with the block; it fails where the provider had an error inside."""
    shared = {"client_secret": SECRET}
    jwks = {"jwks": {"keys": [key.as_dict(private=False)]}}
    clients: list[dict[str, Any]] = [
        {"client_id": "basic", **shared, **NATIVE, "token_endpoint_auth_method": "client_secret_basic"},
        {"client_id": "post", **shared, **NATIVE, "token_endpoint_auth_method": "client_secret_post"},
        {"client_id": "machine", **shared, **MACHINE, "token_endpoint_auth_method": "client_secret_basic"},
        {"client_id": "machine-key", **jwks, **MACHINE, "token_endpoint_auth_method": "private_key_jwt"},
    ]
    clients = [client for client in clients if client["token_endpoint_auth_method"] in methods]
    document = {"client_id": DOCUMENT, "client_name": "Headrace", **NATIVE, "token_endpoint_auth_method": "none"}
    options = json.dumps({"clients": clients, "documents": {DOCUMENT: document}, "methods": methods})
    log = folder / "stderr"
    with open(log, "w") as stderr:
        process = subprocess.Popen(
            [node, str(PROVIDER), options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        yield Provider(process)
    finally:
        try:
            process.communicate(timeout=SECONDS)  # closes its stdin: it ends
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        said = log.read_text()
        assert process.returncode == 0, said
    assert "Error" not in said, said


@pytest.fixture(scope="session")
def provider_process(node: str, machine_key: ECKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with providing(node, machine_key, tmp_path_factory.mktemp("provider"), METHODS) as provider:
        yield provider


@pytest.fixture
def strict_provider(node: str, machine_key: ECKey, tmp_path: Path) -> Iterator[Provider]:
    """One that takes secrets in the form alone; the other takes them in either place, whatever was registered."""
    with providing(node, machine_key, tmp_path, ["none", "client_secret_post"]) as provider:
        yield provider


@pytest.fixture
def provider(provider_process: Provider) -> Provider:
    """It has forgotten what happened in earlier tests; the clients that were registered stay."""
    provider_process.happened()
    return provider_process


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = programs()
    if found is None:
        missing("Chromium and its driver: apt-get install chromium chromium-driver")
    with browsing(*found) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A user who has not logged in yet. What went wrong in the browser fails the test."""
    chromium.forget()
    yield chromium
    chromium.done()


@pytest.fixture
async def serve(provider: Provider) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """``await serve(path="/mcp", dpop=False, issuer=None)``: a server behind the provider's tokens, or another's."""
    async with AsyncExitStack() as stack:

        async def serve(path: str = "/mcp", *, dpop: bool = False, issuer: str | None = None) -> Site:
            return await stack.enter_async_context(serving_site(issuer or provider.issuer, path, dpop=dpop))

        yield serve


@pytest.fixture
async def site(serve: Callable[..., Awaitable[Site]]) -> Site:
    return await serve()
