"""The MCP Inspector's command line, at a terminal of its own: it logs in there, and only there."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..robustness.wire import listener

__all__ = ["Inspector"]

PROGRAM = (
    Path(__file__).parent.parent / "node/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
)
SECONDS = 50.0
_AUTHORIZE = re.compile(r"https?://\S+[?&]code_challenge=\S+")


class Inspector:
    """One user of it: what it keeps is in `home`. `open` is given the addresses that it shows."""

    def __init__(self, node: str, home: Path, open: Callable[[str], object]) -> None:
        self._node = node
        self._home = home
        self._open = open
        with listener() as free:
            self._callback = f"http://127.0.0.1:{free.getsockname()[1]}/oauth/callback"

    def call(self, url: str, tool: str, *options: str) -> Any:
        """The structured content that a tool returned."""
        arguments = ["--method", "tools/call", "--tool-name", tool]
        code, out, said = self.run(url, *arguments, *options)
        assert code == 0, said
        return json.loads(out)["result"]["structuredContent"]

    def run(self, url: str, *arguments: str) -> tuple[int, str, str]:
        """Its exit code, its output, and what it said on the terminal. It waits while the user logs in."""
        command = [self._node, str(PROGRAM), "--cli", url, "--transport", "http", "--format", "json"]
        command += ["--callback-url", self._callback, *arguments]
        own = {"HOME": str(self._home), "NO_COLOR": "1", "MCP_AUTO_OPEN_ENABLED": "false"}
        environment = {**os.environ, **own, "MCP_INSPECTOR_SECRET_STORE": "file"}
        terminal, end = pty.openpty()
        output = self._home / "output"
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, terminal)
            with open(output, "w") as stdout:
                process = subprocess.Popen(command, env=environment, stdin=end, stdout=stdout, stderr=end)
            os.close(end)
            stack.callback(_ended, process)
            said = ""
            for text in _spoken(terminal):
                before, said = said, said + text
                for found in _AUTHORIZE.finditer(said):
                    # A line that is whole, and was not before.
                    if said[found.end() :] and not before[found.end() :]:
                        self._open(found[0])
            code = process.wait(SECONDS)
            return code, output.read_text(), said


def _spoken(terminal: int) -> Iterator[str]:
    """What comes from a terminal, until its program is gone."""
    until = time.monotonic() + SECONDS
    while select.select([terminal], [], [], max(0, until - time.monotonic()))[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # nobody has the other end any more
            return
        if not data:
            return
        yield data.decode(errors="replace")
    raise TimeoutError("The inspector did not end")


def _ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
