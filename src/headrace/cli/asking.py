"""Questions of a server, put to the user on the terminal; declined where there is none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import click

from ..client.patience import patient
from ..components.json_schema import JsonSchema
from ..exceptions import ValidationError
from ..protocol.types import ElicitRequestParams, ElicitResult
from ..transports.descriptors import Reader, open_reader
from .terminal import emit, harmless, one_line
from .values import properties_of, required_in, types_in, value_of

__all__ = ["Asking"]

_YES, _NO = ("y", "yes"), ("n", "no")


class _EndOfInput(Exception):
    """The user has closed the terminal's input (Ctrl-D)."""


class Asking:
    """One question at a time. `pause` is called before: it takes the progress bar away."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._turn = asyncio.Lock()
        self._reader: Reader | None = None

    async def answer(self, message: str, kind: Any, params: ElicitRequestParams, context: Any) -> ElicitResult:
        """An elicitation handler of `Client`."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            emit(one_line(f"declined, as there is nobody to ask: {message}"), stderr=True)
            return ElicitResult(action="decline")
        async with self._turn:
            self._pause()
            _say(f"The server asks: {message}")
            try:
                with patient():
                    return await (self._url(params) if params.mode == "url" else self._form(params))
            except _EndOfInput:
                _say("")
                return ElicitResult(action="cancel")

    async def _url(self, params: ElicitRequestParams) -> ElicitResult:
        url = params.url or ""
        try:
            parts = urlsplit(url)
            host = parts.hostname if parts.scheme in ("http", "https") else None
        except ValueError:
            host = None
        if not host:
            _say(f"Declined: {url!r} is no web page")
            return ElicitResult(action="decline")
        _say(f"Open this page of {host} in your browser, if you trust it:\n  {url}")
        agreed = await self._yes("Do you open it?", default=False)
        return ElicitResult(action="accept" if agreed else "decline")

    async def _form(self, params: ElicitRequestParams) -> ElicitResult:
        form = params.requested_schema or {}
        content: dict[str, Any] = {}
        for name, field in properties_of(form).items():
            if isinstance(field, dict):
                await self._field(content, name, cast("dict[str, Any]", field), name in required_in(form))
        agreed = await self._yes("Send this?" if content else "Do you agree?", default=bool(content))
        return ElicitResult(action="accept", content=content) if agreed else ElicitResult(action="decline")

    async def _field(self, content: dict[str, Any], name: str, field: dict[str, Any], required: bool) -> None:
        """Ask until the value fits. An empty answer is the default, or leaves the field out."""
        has_default = "default" in field
        choices = _choices(field)
        title = field.get("title") or name
        hint = f" [{field['default']}]" if has_default else "" if required else " (optional)"
        _say("".join(f"  {one_line(part)}\n" for part in (field.get("description"), *_listed(choices)) if part), end="")
        while True:
            text = await self._line(f"{one_line(f'{title}{hint}')}: ")
            if not text and has_default:
                content[name] = field["default"]
                return
            if not text and required:
                continue
            if not text:
                return
            try:
                content[name] = _value(text, field, choices)
                return
            except (ValueError, ValidationError) as error:
                _say(f"  {one_line(error)}")

    async def _yes(self, question: str, *, default: bool) -> bool:
        while True:
            text = (await self._line(f"{question} [{'Y/n' if default else 'y/N'}] ")).lower()
            if not text:
                return default
            if text in (*_YES, *_NO):
                return text in _YES

    async def _line(self, prompt: str) -> str:
        """What the user types; it is waited for in the loop, so that Ctrl-C is heard."""
        _say(prompt, end="")
        self._reader = self._reader or open_reader(sys.stdin.fileno())
        typed = await self._reader.read()
        if not typed:
            raise _EndOfInput
        return typed.decode(errors="replace").strip()


def _say(text: str, end: str = "\n") -> None:
    click.echo(harmless(text) + end, err=True, nl=False)


def _choices(field: dict[str, Any]) -> list[tuple[Any, str]]:
    """The values that may be chosen, each with what is said of it."""
    items: Any = field.get("items")
    if isinstance(items, dict):
        return _choices(cast("dict[str, Any]", items))
    titled = _list(field.get("oneOf") or field.get("anyOf"))
    if titled:
        options = [cast("dict[str, Any]", option) for option in titled if isinstance(option, dict)]
        return [(option["const"], str(option.get("title", ""))) for option in options if "const" in option]
    values, names = (_list(field.get(keyword)) for keyword in ("enum", "enumNames"))
    return [(value, str(names[at]) if at < len(names) else "") for at, value in enumerate(values)]


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _listed(choices: list[tuple[Any, str]]) -> list[str]:
    return [f"{number}) {value}{f' ({title})' if title else ''}" for number, (value, title) in enumerate(choices, 1)]


def _value(text: str, field: dict[str, Any], choices: list[tuple[Any, str]]) -> Any:
    """Raises ValueError or ValidationError for what does not fit the field."""
    several = "array" in types_in(field)
    if several and not text.startswith("["):
        items: Any = field.get("items")
        value: Any = [_chosen(part.strip(), choices, items) for part in text.split(",") if part.strip()]
    else:
        value = _chosen(text, choices, field)
    try:
        schema = JsonSchema(field, "the form")
    except ValueError:  # the server's mistake, which it may not even notice
        return value
    schema.check(value, "does not fit")
    return value


def _chosen(text: str, choices: list[tuple[Any, str]], schema: Any) -> Any:
    """A choice by its value, its number or its title; else the text as the schema wants it."""
    for value, _ in choices:
        if text == str(value):
            return value
    for number, (value, title) in enumerate(choices, 1):
        if text in (str(number), title):
            return value
    return value_of(text, schema)
