"""``headrace list``: what a server offers to clients."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import click

from ..client.client import Client
from ..client.results import WRAP_RESULT
from ..exceptions import MethodNotFound
from ..protocol.types import Prompt, Resource, ResourceTemplate, Tool
from .console import Misuse, say
from .remote import server_options, with_client
from .terminal import emit, emit_json, one_line
from .values import properties_of, required_in, without_references

__all__ = ["command", "signature"]

_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "dict"}
_MAX_VALUE = 40
_MAX_DEPTH = 4


@click.command("list", options_metavar="TARGET [OPTIONS]")
@server_options
@click.option("--tools", is_flag=True, help="Only tools; the next two: only them, too.")
@click.option("--resources", is_flag=True, help="Resources and templates.")
@click.option("--prompts", is_flag=True)
@click.option("--input-schema", is_flag=True, help="With the input schemas of tools.")
@click.option("--output-schema", is_flag=True, help="With the output schemas of tools.")
def command(
    words: tuple[str, ...],
    as_json: bool,
    tools: bool,
    resources: bool,
    prompts: bool,
    input_schema: bool,
    output_schema: bool,
    **options: Any,
) -> None:
    """Show the tools, resources and prompts of a server. TARGET is as that of call."""
    every = not (tools or resources or prompts)

    async def work(client: Client, left: list[str]) -> Callable[[], None]:
        if left:
            raise Misuse(f"one TARGET is enough: {left[0]!r} is left over")
        can = client.server_capabilities
        found: dict[str, list[Any]] = {}
        if tools or (every and can.tools is not None):
            found["tools"] = await _all(client.list_tools)
        if resources or (every and can.resources is not None):
            found["resources"] = await _all(client.list_resources)
            found["resourceTemplates"] = await _all(client.list_resource_templates)
        if prompts or (every and can.prompts is not None):
            found["prompts"] = await _all(client.list_prompts)
        if as_json:
            return partial(emit_json, found)
        if every:
            found = {key: items for key, items in found.items() if items}
        return partial(_show, client, found, input_schema, output_schema)

    with_client(work, words, **options)


async def _all(fetch: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
    try:
        return await fetch()
    except MethodNotFound:
        return []


def _show(client: Client, found: dict[str, list[Any]], input_schema: bool, output_schema: bool) -> None:
    info = client.server_info
    emit(one_line(f"{f'{info.name} {info.version}' if info else client.transport.name}, {client.protocol_version}"))
    for key, heading in (
        ("tools", "Tools"),
        ("resources", "Resources"),
        ("resourceTemplates", "Templates"),
        ("prompts", "Prompts"),
    ):
        if key not in found:
            continue
        say(f"\n{heading}{'' if found[key] else ': none'}", "bold")
        for item in found[key]:
            emit(f"  {one_line(_headline(item))}")
            if item.description:
                emit(f"      {one_line(item.description)}")
            if isinstance(item, Tool):
                for wanted, schema in ((input_schema, item.input_schema), (output_schema, item.output_schema)):
                    if wanted and schema is not None:
                        emit("\n".join(f"      {line}" for line in json.dumps(schema, indent=2).splitlines()))


def _headline(item: Tool | Resource | ResourceTemplate | Prompt) -> str:
    if isinstance(item, Tool):
        return signature(item)
    if isinstance(item, Prompt):
        arguments = item.arguments or []
        return f"{item.name}({', '.join(each.name + ('' if each.required else ' = ...') for each in arguments)})"
    uri = item.uri if isinstance(item, Resource) else item.uri_template
    return f"{uri} ({', '.join(part for part in (item.name, item.mime_type) if part)})"


def signature(tool: Tool) -> str:
    """The tool as a function of Python: ``find(title: str, count: int = 1) -> list[str]``."""
    schema = without_references(tool.input_schema)
    required, properties = required_in(schema), properties_of(schema)
    # As Python has it: what has a default comes last.
    names = [name for name in properties if name in required] + [name for name in properties if name not in required]
    arguments = [f"{name}: {_type(properties[name])}{_default(properties[name], name in required)}" for name in names]
    text = f"{tool.name}({', '.join(arguments)})"
    if tool.output_schema is None:
        return text
    output = without_references(tool.output_schema)
    return f"{text} -> {_type(properties_of(output).get('result') if output.get(WRAP_RESULT) else output)}"


def _default(schema: Any, required: bool) -> str:
    if required:
        return ""
    if isinstance(schema, dict) and "default" in schema:
        text = repr(cast("dict[str, Any]", schema)["default"])
        return f" = {text}" if len(text) <= _MAX_VALUE else " = ..."
    return " = ..."


def _type(schema: Any, depth: int = 0) -> str:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return "Any"
    schema = cast("dict[str, Any]", schema)
    options: Any = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if isinstance(options, list):
        return " | ".join(dict.fromkeys(repr(value) for value in cast("list[Any]", options)))
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            return " | ".join(dict.fromkeys(_type(part, depth + 1) for part in schema[keyword]))
    kind: Any = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": each}, depth + 1) for each in cast("list[Any]", kind))
    if kind == "array":
        return f"list[{_type(schema.get('items'), depth + 1)}]" if "items" in schema else "list"
    return _TYPES.get(kind, "Any") if isinstance(kind, str) else "Any"
