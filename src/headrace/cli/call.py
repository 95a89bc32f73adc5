"""``headrace call``: a tool, a prompt or a resource of a server."""

from __future__ import annotations

import base64
import difflib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import click
from msgspec import UNSET

from ..client.client import Client
from ..exceptions import ClientError
from ..protocol.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    GetPromptResult,
    ImageContent,
    ResourceLink,
    TextContent,
    Tool,
)
from .console import Failure, Misuse
from .read import read
from .remote import server_options, with_client
from .terminal import emit, emit_json, one_line
from .values import json_value, properties_of, value_of, without_references

__all__ = ["command"]


@click.command("call", options_metavar="TARGET NAME [KEY=VALUE | KEY:=JSON | -]... [OPTIONS]")
@server_options
@click.option("--prompt", "is_prompt", is_flag=True, help="NAME is that of a prompt.")
@click.option("--input-json", metavar="JSON", help="Arguments as a JSON object.")
def command(words: tuple[str, ...], as_json: bool, is_prompt: bool, input_json: str | None, **options: Any) -> None:
    """Call a tool.

    TARGET is a URL, a script, an mcpServers config (CONFIG.json:NAME for one of its servers), or what run serves.
    NAME is that of a tool, or the URI of a resource. KEY=VALUE is read as the tool's schema wants it, KEY:=JSON is JSON
    already, - reads a JSON object from stdin.
    """

    # Before there is a loop: who types can stop it, and nothing is started for what can't be meant.
    from_stdin = _object(sys.stdin.read(), "stdin") if "-" in words else {}

    async def work(client: Client, left: list[str]) -> Callable[[], None]:
        if not left:
            raise Misuse("name a tool of it: headrace list shows them")
        name, *rest = left
        given, typed = _arguments(rest, input_json, from_stdin)
        if is_prompt:
            given |= {key: texts[-1] for key, texts in typed.items()}
            return partial(_show_prompt, await client.get_prompt_mcp(name, given), as_json)
        if "://" in name:
            if rest:
                raise Misuse("a resource has no arguments")
            return await read(client, name, as_json=as_json)
        if typed:
            given |= _coerced(typed, await _tool(client, name))
        return partial(_show, name, await client.call_tool_mcp(name, given), as_json)

    with_client(work, words, **options)


def _arguments(
    words: list[str], input_json: str | None, from_stdin: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The arguments that have a value, and the texts of those whose type the schema tells. Raises Misuse."""
    given = {} if input_json is None else _object(input_json, "--input-json")
    typed: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if word == "-":
            given |= from_stdin
        elif not equals or not key.removesuffix(":"):
            raise Misuse(f"{word!r}: expected KEY=VALUE, KEY:=JSON or -")
        elif key.endswith(":"):
            try:
                given[key[:-1]] = json_value(text)
            except ValueError as error:
                raise Misuse(f"{key[:-1]} is no JSON: {error}") from None
        else:
            typed.setdefault(key, []).append(text)
    return given, typed


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = json_value(text)
    except ValueError as error:
        raise Misuse(f"{source} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Misuse(f"{source} is no JSON object")
    return cast("dict[str, Any]", value)


async def _tool(client: Client, name: str) -> Tool:
    tools = {tool.name: tool for tool in await client.list_tools()}
    if name not in tools:
        near = difflib.get_close_matches(name, tools, n=1)
        hint = f"is it {near[0]!r}?" if near else "headrace list shows what there is"
        raise ClientError(f"{client.transport.name} has no tool {name!r}: {hint}")
    return tools[name]


def _coerced(typed: dict[str, list[str]], tool: Tool) -> dict[str, Any]:
    """Several texts for one argument are the items of a list. Raises Misuse."""
    properties = properties_of(without_references(tool.input_schema))
    values: dict[str, Any] = {}
    for key, texts in typed.items():
        try:
            parts = [value_of(text, properties.get(key)) for text in texts]
        except ValueError as error:
            raise Misuse(one_line(f"{key} {error}")) from None
        if len(parts) == 1:
            values[key] = parts[0]
        elif all(isinstance(part, list) for part in parts):
            values[key] = [item for part in parts for item in part]
        else:
            raise Misuse(f"{key} is given {len(parts)} times")
    return values


def _show_prompt(result: GetPromptResult, as_json: bool) -> None:
    if as_json:
        emit_json(result)
    for message in [] if as_json else result.messages:
        emit(f"{message.role}: {_block(message.content)}")


def _show(name: str, result: CallToolResult, as_json: bool) -> None:
    """Raises Exit where the tool failed."""
    failed = bool(result.is_error)
    if as_json:
        emit_json(result)
    elif result.content:
        for block in result.content:
            emit(_block(block), stderr=failed)
    elif failed:
        raise Failure(one_line(f"the tool {name!r} failed"))
    elif result.structured_content is not UNSET:
        emit_json(result.structured_content)
    if failed:
        raise click.exceptions.Exit(1)


def _block(block: ContentBlock) -> str:
    """Text as it is; of other content what it is: --json has it all."""
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ImageContent | AudioContent):
        return f"[{block.type}: {block.mime_type}, {_size(block.data)} bytes]"
    if isinstance(block, ResourceLink):
        return f"[resource: {block.uri} ({block.name})]"
    resource = block.resource
    if resource.text is not None:
        return resource.text
    return f"[resource: {resource.uri}, {resource.mime_type or 'binary'}, {_size(resource.blob or '')} bytes]"


def _size(data: str) -> int:
    try:
        return len(base64.b64decode(data))
    except ValueError:
        return 0
