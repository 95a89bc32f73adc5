"""``headrace read``: the contents of a resource, as they are."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..client.client import Client
from ..exceptions import ClientError
from ..protocol.types import ResourceContents
from .console import Failure, Misuse, note
from .remote import server_options, with_client
from .terminal import emit, emit_json, one_line

__all__ = ["command", "read"]


@click.command("read", options_metavar="TARGET URI [OPTIONS]")
@server_options
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there.")
def command(words: tuple[str, ...], as_json: bool, output: Path | None, **options: Any) -> None:
    """Read a resource: text and bytes go to stdout unchanged. TARGET is as that of call."""
    if output is not None and as_json:
        raise Misuse("--output or --json, not both")

    async def work(client: Client, left: list[str]) -> Callable[[], None]:
        if len(left) != 1:
            raise Misuse("name the URI of one resource: headrace list shows them")
        return await read(client, left[0], as_json=as_json, output=output)

    with_client(work, words, **options)


async def read(client: Client, uri: str, *, as_json: bool = False, output: Path | None = None) -> Callable[[], None]:
    """What prints a resource, or writes it to a file."""
    result = await client.read_resource_mcp(uri)
    if as_json:
        return partial(emit_json, result)
    parts = [(part, _bytes(part, client.transport.name)) for part in result.contents]
    return partial(_show, parts) if output is None else partial(_write, output, b"".join(each for _, each in parts))


def _show(parts: list[tuple[ResourceContents, bytes]]) -> None:
    """Raises Failure where bytes would go to a terminal."""
    for part, content in parts:
        if not sys.stdout.isatty():
            click.echo(content, nl=False)
        elif part.text is not None:
            emit(part.text)
        else:
            kind = f"{part.mime_type or 'binary'}, {len(content)} bytes"
            raise Failure(one_line(f"{part.uri} is no text ({kind}): use --output FILE, or a pipe"))


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Failure(f"{file} can't be written: {error.strerror}") from error
    note(f"Written to {file}")


def _bytes(part: ResourceContents, server: str) -> bytes:
    try:
        return part.text.encode() if part.text is not None else base64.b64decode(part.blob or "", validate=True)
    except ValueError:
        raise ClientError(f"{server} sent what is no base64 for {part.uri}") from None
