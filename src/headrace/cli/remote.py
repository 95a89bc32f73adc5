"""The server that ``headrace list``, ``call`` and ``read`` speak with: their options, the client, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ..client import auth as logins
from ..client.auth.documents import checked_url
from ..client.client import Client
from ..client.transports import (
    PythonStdioTransport,
    SSETransport,
    StdioTransport,
    StreamableHttpTransport,
    Transport,
    transport_for,
)
from ..exceptions import ClientError, FastMCPError, McpError, NotFoundError
from ..mcp_config import MCPConfig, read_json
from ..protocol.types import LOG_LEVELS
from ..protocol.versions import ERAS
from ..settings import expanded
from .asking import Asking
from .console import Failure, Misuse
from .loading import split_target
from .terminal import Bar, Notes, logs_as_notes, one_line

__all__ = ["auth_options", "headers_of", "is_url", "run", "server_options", "transport_to", "with_client"]

C = TypeVar("C", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)\Z")
_SERVES_ITSELF = re.compile(r"__main__|\.run\w*\(")


def auth_options(function: C) -> C:
    """``--header`` and ``--auth``."""
    for option in (
        click.option("--auth", metavar="TOKEN|oauth|none", help="[default: a login where the server asks for one]"),
        click.option(
            "-H",
            "--header",
            "headers",
            metavar="'NAME: VALUE'",
            multiple=True,
            help="For every request; ${NAME} is a variable of the environment. [many]",
        ),
    ):
        function = option(function)
    return function


def server_options(function: C) -> C:
    """What reaches a server; the options come to `with_client` by these names."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Of the server's notes.  [default: info]"),
        click.option("--protocol-version", type=click.Choice(list(ERAS)), help="Speak this revision alone."),
        click.option("--mode", type=click.Choice(["auto", "modern", "legacy"]), default="auto", show_default=True),
        click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For each answer."),
        auth_options,
        click.option("-t", "--transport", type=click.Choice(["http", "sse"]), help="How a URL is spoken with."),
        click.option("--env", metavar="NAME[=VALUE]", multiple=True, help="For a server that is started here. [many]"),
        click.option("--command", "line", metavar="COMMAND", help="Start this as the server, instead of a TARGET."),
        click.argument("words", nargs=-1, metavar=""),
    ):
        function = option(function)
    return function


def with_client(
    work: Callable[[Client, list[str]], Awaitable[Callable[[], None]]],
    words: tuple[str, ...],
    *,
    line: str | None,
    env: Iterable[str],
    transport: str | None,
    headers: Iterable[str],
    auth: str | None,
    timeout: float | None,
    mode: str,
    protocol_version: str | None,
    log_level: str | None,
) -> None:
    """Connect, and do the work with the words that are left: it returns what shows the result.

    What goes wrong is one line. Raises Failure, Misuse, Exit.
    """
    left = list(words)
    if line is None and not left:
        raise Misuse("name a TARGET (a URL, a script, a config) or a --command")
    where = _command(line, _variables(env)) if line is not None else _target(left.pop(0), _variables(env))
    bar = Bar()
    fall_back = mode == "auto" and protocol_version is None

    async def connected() -> None:
        client = Client(
            transport_to(where, transport, headers_of(headers), auth, fall_back=fall_back),
            mode=mode,
            protocol_version=protocol_version,
            timeout=timeout,
            cache=False,
            elicitation_handler=Asking(bar.stop).answer,
            log_handler=Notes(log_level or "info").hear,
            progress_handler=bar.report,
        )
        try:
            async with client:
                if log_level is not None:
                    await client.set_logging_level(log_level)
                show = await work(client, left)
                bar.stop()
                show()
        except McpError as error:
            # The one for a missing resource says which server it is.
            place = "" if isinstance(error, NotFoundError) else f"{client.transport.name}: "
            raise Failure(one_line(f"{place}{error.message or f'error {error.code}'}")) from error
        finally:
            bar.stop()

    run(connected)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Raises Failure for what goes wrong, Exit after Ctrl-C."""
    try:
        with logs_as_notes():
            asyncio.run(work())
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except FastMCPError as error:
        raise Failure(one_line(error)) from error


def is_url(target: Any) -> bool:
    return isinstance(target, str) and target.lower().startswith(("http://", "https://"))


def headers_of(lines: Iterable[str]) -> dict[str, str]:
    """Raises Misuse, which tells no value: it may be a secret."""
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.match(expanded(line))
        if found is None:
            raise Misuse("--header: expected 'NAME: VALUE'")
        headers[found[1]] = found[2].strip()
    return headers


def transport_to(
    target: Any, kind: str | None, headers: Mapping[str, str], auth: str | None, *, fall_back: bool = True
) -> Transport:
    """`kind` is how a URL is spoken with, `auth` a bearer token, "oauth" or "none". Raises ClientError."""
    login: Any = None
    if auth not in (None, "oauth", "none"):
        login = expanded(auth)
    elif auth == "oauth" or (auth is None and _may_log_in(target) and "authorization" not in map(str.lower, headers)):
        login = logins.OAuth(token_storage=logins.FileTokenStorage())
    if kind is not None and is_url(target):
        return {"http": StreamableHttpTransport, "sse": SSETransport}[kind](target, headers=headers, auth=login)
    return transport_for(target, headers=headers, auth=login, fall_back=fall_back)


def _may_log_in(target: Any) -> bool:
    """Whether it is a URL to which tokens may be sent. Others are used without."""
    try:
        return is_url(target) and bool(checked_url(target, "The server"))
    except ClientError:
        return False


def _command(line: str, env: dict[str, str]) -> StdioTransport:
    try:
        parts = shlex.split(line, posix=os.name != "nt")
    except ValueError as error:
        raise Misuse(f"--command: {error}") from None
    if not parts:
        raise Misuse("--command names no program")
    return StdioTransport(parts[0], parts[1:], env)


def _variables(env: Iterable[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for text in env:
        name, equals, value = text.partition("=")
        if not name or not (equals or name in os.environ):
            raise Misuse(f"--env {name!r}: expected NAME=VALUE, or a variable that is set")
        variables[name] = value if equals else os.environ[name]
    return variables


def _target(target: str, env: dict[str, str]) -> Any:
    """A URL, an ``mcpServers`` config (of one of its servers: CONFIG.json:NAME), a script that serves itself, or what
    ``headrace run`` serves."""
    if is_url(target):
        return target
    file, _, name = target.rpartition(":")
    if file.endswith(".json") and not Path(target).exists():
        return _one_of(_config(file), name, file)
    path, entrypoint = split_target(target)
    if path.endswith(".json"):
        config = _config(path)
        return _Served(target, env) if config is None else config
    if path.endswith(".py") and (entrypoint is not None or not _serves_itself(Path(path))):
        return _Served(target, env)
    return PythonStdioTransport(path, env=env) if path.endswith(".py") else target


class _Served(StdioTransport):
    """``headrace run`` in a process of its own: what the file prints is none of this one's output."""

    def __init__(self, target: str, env: dict[str, str]) -> None:
        super().__init__(sys.executable, ["-P", "-m", "headrace.cli", "run", target, "--no-banner"], env)
        self._name = f"the server {Path(target).name!r}"


def _serves_itself(path: Path) -> bool:
    try:
        return _SERVES_ITSELF.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def _config(path: str) -> MCPConfig | None:
    """None: a config of another kind, which ``headrace run`` takes. Raises Failure."""
    try:
        data = read_json(Path(path))
    except ValueError as error:
        raise Failure(one_line(error)) from None
    if isinstance(data, dict) and "source" in data and "mcpServers" not in data:
        return None
    try:
        return MCPConfig.model_validate(data)
    except ValueError:
        raise Failure(f"{path}: no mcpServers config") from None


def _one_of(config: MCPConfig | None, name: str, path: str) -> MCPConfig:
    servers = {} if config is None else config.mcpServers
    if name not in servers:
        raise Failure(one_line(f"{path} has no server {name!r}: it has {', '.join(servers) or 'none'}"))
    return MCPConfig(mcpServers={name: servers[name]})
