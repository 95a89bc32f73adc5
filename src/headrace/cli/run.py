"""``headrace run FILE[:OBJECT]``, a module, or a config file."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path
from typing import Any

import click

from ..settings import Settings, endpoint_path
from ..transports.stdio import standard_streams
from .console import Failure, Misuse
from .reload import run_with_reload
from .server_config import FileSystemSource
from .target import Target, environment_options, find_target, target_options, with_argv
from .uv import uv_command, uv_run

__all__ = ["ScriptCommand", "apply_deployment", "command"]

_UNUSABLE = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, socket.EAI_NONAME})
_LEVELS = ["critical", "error", "warning", "info", "debug"]
_TRANSPORTS = ["stdio", "http", "streamable-http", "sse"]
_ENVIRONMENT = ("dependencies", "editable", "python", "project", "requirements")
_ONLY_HTTP = ("host", "port", "path", "json_response")


class ScriptCommand(click.Command):
    """A command whose line may end in ``-- ARGUMENTS`` for the server's file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Split here: click takes away the `--`, and without a target the first argument would become it.
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["own"], ctx.meta["script"] = args[:end], args[end + 1 :]
        return super().parse_args(ctx, args[:end])

    @staticmethod
    def again(ctx: click.Context, *flags: str) -> list[str]:
        """The command line once more, with more flags."""
        script: list[str] = ctx.meta["script"]
        return [str(ctx.info_name), *ctx.meta["own"], *flags, *(["--", *script] if script else [])]


@click.command("run", cls=ScriptCommand, options_metavar="[OPTIONS]")
@target_options
@click.option("-t", "--transport", type=click.Choice(_TRANSPORTS), help="[default: HEADRACE_TRANSPORT or stdio]")
@click.option("--host", help="Address to listen on.  [default: HEADRACE_HOST or 127.0.0.1]")
@click.option("-p", "--port", type=click.IntRange(0, 65535), help="0: any free one.  [default: HEADRACE_PORT or 8000]")
@click.option("--path", help="Path of the endpoint.  [default: /mcp, or /sse]")
@click.option("--stateless/--no-stateless", default=None, help="Keep no sessions; on stdio, ask for no handshake.")
@click.option("--json-response/--no-json-response", default=None, help="Answer in JSON only, never with a stream.")
@click.option("-l", "--log-level", type=click.Choice(_LEVELS, case_sensitive=False))
@click.option("--no-banner", is_flag=True, help="Print no start-up line.")
@click.option("--reload/--no-reload", help="Start anew when a file changes.")
@click.option(
    "--reload-dir",
    "reload_dirs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Watch it.  [many; default: the working directory and the file's]",
)
@environment_options
@click.option("--skip-env", is_flag=True, help="Run in this environment, whatever the file or the flags ask for.")
@click.option("--skip-source", is_flag=True, hidden=True)  # FastMCP's: sources here need no preparation
@click.option("--reloaded", is_flag=True, hidden=True)  # given to the child of --reload
@click.pass_context
def command(
    ctx: click.Context,
    target: str | None,
    module: str | None,
    no_banner: bool,
    reload: bool,
    reload_dirs: tuple[Path, ...],
    skip_env: bool,
    skip_source: bool,
    reloaded: bool,
    **options: Any,
) -> None:
    """Serve a FastMCP server.

    The target is FILE, FILE:OBJECT or a config file; without one, headrace.json or fastmcp.json in the working
    directory. Arguments after -- go to the file. With --with and its siblings, uv makes an environment to run in.
    """
    found = find_target(target, module, **{name: options.pop(name) for name in _ENVIRONMENT})
    environment = found.config.environment
    if environment.needed and not skip_env:
        again = ScriptCommand.again(ctx, "--skip-env")
        uv_run(uv_command(environment, again, extra="reload" if reload else ""))
    if reload and not reloaded:
        # -P: the working directory is no place to import from, as it is none for the `headrace` command.
        child = [sys.executable, "-P", "-m", "headrace.cli", *ScriptCommand.again(ctx, "--skip-env", "--reloaded")]
        run_with_reload(child, [each.resolve() for each in reload_dirs] or _watched(found), found.path)
        return
    flags = {name: value for name, value in options.items() if value is not None}
    if no_banner:
        flags["show_banner"] = False
    _serve(found, flags, ctx.meta["script"], reloaded)


def _watched(found: Target) -> list[Path]:
    here, source = Path.cwd(), found.config.source
    own = Path(source.path).resolve().parent if isinstance(source, FileSystemSource) else here
    return [here] if own.is_relative_to(here) else [here, own]


def _serve(found: Target, flags: dict[str, Any], script: list[str], reloaded: bool) -> None:
    settings = apply_deployment(found)
    options: dict[str, Any] = {**found.config.run_options(), **flags}
    transport = options.pop("transport", None) or settings.transport
    if "log_level" in options:
        options["log_level"] = options["log_level"].lower()
    if transport == "stdio":
        for name in _ONLY_HTTP:
            if name in flags:
                flag = name.replace("_", "-")
                raise Misuse(f"--{flag} is for HTTP, and this would serve on stdio: add --transport http")
            options.pop(name, None)
        if reloaded:  # its client shook hands with the child before
            options["stateless"] = True
    else:
        options = {"host": settings.host, "port": settings.port, **options}
        try:
            endpoint_path(options.get("path", "/"))
        except ValueError as error:
            raise Misuse(f"--path must be {error}, got {options['path']!r}") from None
    with contextlib.ExitStack() as stack:
        if transport == "stdio":
            # What a file prints while it is imported must not get between the protocol's messages, either.
            try:
                stack.enter_context(standard_streams())
            except RuntimeError as error:
                raise Failure(str(error)) from error
        stack.enter_context(with_argv(found.config, script))
        server = found.config.source.load()
        try:
            server.run(transport=transport, **options)
        except OSError as error:
            # Only what listening itself can meet; any other keeps its traceback.
            if transport == "stdio" or error.errno not in _UNUSABLE:
                raise
            raise _unusable(options["host"], options["port"], error) from error


def apply_deployment(found: Target) -> Settings:
    """Set the variables and the working directory that the config file asks for; then read the settings.

    Raises Failure.
    """
    try:
        found.config.deployment.apply_runtime_settings(found.path)
    except OSError as error:
        raise Failure(f"{found.path}: deployment.cwd: {error.strerror}: {error.filename}") from error
    except (ValueError, RuntimeError) as error:  # no variable can be that, "~somebody" without a home
        raise Failure(f"{found.path}: deployment: {error}") from error
    try:
        return Settings.load()
    except ValueError as error:
        raise Failure(str(error)) from error


def _unusable(host: str, port: int, error: OSError) -> Failure:
    if error.errno == errno.EADDRINUSE:
        return Failure(f"port {port} on {host} is in use; choose another with --port, or 0 for any free one")
    return Failure(error.strerror or f"can't listen on {host}:{port}")
