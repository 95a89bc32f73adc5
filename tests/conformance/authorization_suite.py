"""Runs the official conformance suite in authorization mode against a server with users of its own."""

from __future__ import annotations

import re
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import uvicorn

from headrace import FastMCP
from headrace.server.auth.oauth.contract import OAuthClientInformationFull
from headrace.server.auth.oauth.embedded import EmbeddedOAuthProvider
from headrace.server.auth.oauth.passwords import hash_password

from .suite import SUITE, Scenario, read_scenarios

__all__ = ["CLIENT_ID", "SCENARIOS", "listed_scenarios", "run_suite", "serve"]

SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")
CLIENT_ID = "conformance"
USER, PASSWORD = "alice", "the password of alice"
SECONDS = 60


def serve(host: str, port: int, callback_port: int) -> None:
    """The server, for a process of its own; its one client comes back to the port."""
    client = OAuthClientInformationFull(
        client_id=CLIENT_ID,
        client_name="The conformance suite",
        redirect_uris=[f"http://127.0.0.1:{callback_port}/callback"],
        token_endpoint_auth_method="none",
    )
    users = {USER: hash_password(PASSWORD)}
    auth = EmbeddedOAuthProvider(f"http://{host}:{port}", users=users, clients=[client])
    uvicorn.run(FastMCP("Conformance", auth=auth).http_app(), host=host, port=port, log_level="warning")


def run_suite(node: str, url: str, callback_port: int, output: Path) -> list[Scenario]:
    """Both scenarios. The suite prints a URL for a browser; a script logs in there.

    Raises RuntimeError, with what the suite said, when it wrote no checks at all.
    """
    command = [node, str(SUITE), "authorization", "--url", url, "--client-id", CLIENT_ID]
    command += ["--port", str(callback_port), "-o", str(output)]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        over = threading.Timer(SECONDS, process.kill)
        over.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if line.startswith(f"{url}/authorize?"):
                    _log_in(line.strip())
            process.wait()
        finally:
            over.cancel()
            process.kill()
    scenarios = read_scenarios(output)
    if not scenarios:
        raise RuntimeError("the suite wrote no checks:\n" + "".join(said))
    return [Scenario(each.name.removeprefix("authorization-server-"), each.checks) for each in scenarios]


def _log_in(url: str) -> None:
    """As a user does: opens the page, fills in its form, follows where that leads."""
    with httpx2.Client(timeout=SECONDS, follow_redirects=True) as browser:
        page = browser.get(url)
        form = _Form()
        form.feed(page.text)
        answer = {**form.values, "username": USER, "password": PASSWORD, "answer": "allow"}
        onward = browser.post(urljoin(str(page.url), form.action), data=answer)
        match = re.fullmatch(r"0; url=(.+)", onward.headers["refresh"])
        assert match is not None, onward.text
        browser.get(match[1])


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        elif tag == "input" and given.get("type") == "hidden":
            self.values[given.get("name") or ""] = given.get("value") or ""


def listed_scenarios(node: str) -> set[str]:
    """What the suite has for authorization servers."""
    command = [node, str(SUITE), "list", "--authorization"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  - ")}
