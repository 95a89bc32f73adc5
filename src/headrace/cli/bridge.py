"""``headrace bridge``: a server behind a URL, for clients that only start programs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import click

from ..client.transports.base import Transport
from ..client.transports.stdio import MAX_LINE_BYTES
from ..protocol.errors import INVALID_REQUEST
from ..protocol.jsonrpc import encode_error
from ..transports.descriptors import Reader, open_reader, open_writer
from ..transports.lines import Lines, line
from ..transports.stdio import StandardStreams, standard_streams
from .console import Failure, Misuse
from .relay import Relay
from .remote import auth_options, headers_of, is_url, run, transport_to

__all__ = ["command"]

GRACE_SECONDS = 10.0
"""How long calls in flight may go on once stdin has ended."""


@click.command("bridge")
@click.argument("url")
@auth_options
@click.option("-t", "--transport", "kind", type=click.Choice(["http", "sse"]), help="[default: what the server speaks]")
def command(url: str, headers: tuple[str, ...], auth: str | None, kind: str | None) -> None:
    """Serve on stdio what a server offers at a URL.

    For clients that only start programs: every message goes on as it is, both ways.
    """
    if not is_url(url):
        raise Misuse("a bridge leads to a URL: http:// or https://")
    given = headers_of(headers)

    async def bridged() -> None:
        await _bridge(transport_to(url, kind, given, auth), streams)

    # What anything here prints must not get between the protocol's messages.
    with contextlib.ExitStack() as stack:
        try:
            streams = stack.enter_context(standard_streams())
        except RuntimeError as error:
            raise Failure(str(error)) from error
        run(bridged)


async def _bridge(transport: Transport, streams: StandardStreams) -> None:
    """Until the client closes stdin, stdout breaks, or SIGTERM comes."""
    stop = asyncio.Event()
    output = await open_writer(streams.output, beside=(streams.input, 2), lost=stop.set)
    reader = open_reader(streams.input)

    async def emit(message: bytes) -> None:
        await output.write(line(message))

    relay = Relay(transport, emit)
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stopped = asyncio.create_task(stop.wait())
    tasks: list[asyncio.Task[Any]] = [stopped]
    try:
        await transport.open(relay.hear)
        tasks.append(asyncio.create_task(_read(reader, relay, emit)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            tasks[-1].result()
            tasks.append(asyncio.create_task(relay.drain()))
            await asyncio.wait((stopped, tasks[-1]), timeout=GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        reader.close()
        await relay.close()
        await transport.close()
        await output.close()


async def _read(reader: Reader, relay: Relay, emit: Callable[[bytes], Awaitable[None]]) -> None:
    lines = Lines(MAX_LINE_BYTES)
    while chunk := await reader.read():
        for body in lines.feed(chunk):
            await _take(body, relay, emit)
    for body in lines.end():
        await _take(body, relay, emit)


async def _take(body: bytes | None, relay: Relay, emit: Callable[[bytes], Awaitable[None]]) -> None:
    if body is None:
        await emit(
            encode_error(None, INVALID_REQUEST, f"Invalid request: a message of more than {MAX_LINE_BYTES} bytes")
        )
    else:
        await relay.take(body)
