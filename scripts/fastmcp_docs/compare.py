"""Two records of one block, compared. What may differ without being a difference is a named rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from blocks import Block

__all__ = ["RULES", "Difference", "Outcome", "compared"]

RULES = {
    "own-name": "the name and version of the library, where the block gives the server none, and of its HTTP client",
    "fastmcp-meta": "what FastMCP notes for itself in `_meta` (`fastmcp`, `_fastmcp`)",
    "envelope": "what a revision puts around a result: `resultType`, `ttlMs`, `cacheScope`, the server's stamp",
    "absent-or-default": "`isError: false` and `arguments: []` against leaving them out",
    "schema-titles": "`title` inside JSON schemas, and the order of `required`",
    "closed-schemas": "`additionalProperties: false` of a tool's input schema: 4.2 says it, 2.13 does not",
    "wrapper-words": "the description of the schema that wraps a value that is not an object",
    "json-spacing": "spaces and the order of keys in texts that are JSON",
    "prompt-words": "the sentence around the JSON schema in the description of a prompt's typed argument",
    "times-and-ids": "times, random identifiers, addresses and temporary directories in texts",
    "error-words": "the words of errors that a library, not the server, says: both fail, and that counts",
    "either-version": "where 2.13 and 4.2 differ: one of their answers",
    "either-era": "a call that FastMCP refuses in one era and answers in the other: the answer",
    "guarded": "over HTTP, what lies behind the login that both want: it is compared in memory",
}
"""What is not compared, by name; docs/moving-from-fastmcp.md lists them."""

Difference = tuple[str, Any, Any]
"""(way and place, FastMCP's, ours)"""


@dataclass
class Outcome:
    block: Block
    verdict: str
    """alike, different, or left out: FastMCP itself does not run it."""
    reason: str = ""
    differences: list[Difference] = field(default_factory=list[Difference])


def compared(block: Block, theirs: Any, newer: Any, ours: Any) -> Outcome:
    """`newer`: what the newest FastMCP says of a block of an older revision."""
    first = theirs["records"]["memory/legacy"]
    if "error" in first:
        return Outcome(block, "left out", f"{first['error']['type']}: {first['error']['text']}")
    if not first["servers"]:
        return Outcome(block, "left out", "makes no server when loaded")
    if not block.complete and not any(seen["calls"] for seen in first["servers"].values()):
        return Outcome(block, "left out", "registers nothing")
    found: dict[str, Difference] = {}
    for way, record in ours["records"].items():
        if "error" in record:
            error = record["error"]
            if " 401 " in error["text"] and "error" in (theirs["records"].get(way) or theirs["records"]["http/legacy"]):
                continue
            words = f"{error['type']}: {error['text']}"
            return Outcome(block, "different", "does not run", [(f"{way} {error['stage']}", None, words)])
        for where, left, right in _different(_candidates(way, theirs, newer), _items(record)):
            if not (block.revision != "HEAD" and left is None and _is_derived_title(where, right)):
                found.setdefault(f"{where} {left!r} {right!r}", (f"{way} {where}", left, right))
    verdict = ("different", "answers otherwise") if found else ("alike", "")
    return Outcome(block, *verdict, list(found.values()))


def _is_derived_title(where: str, value: Any) -> bool:
    """either-version, for blocks that 4.2 no longer loads: it makes the titles of tools of their names."""
    tool = re.search(r" tools (\S+) \.title$", where)
    return tool is not None and value == re.sub(r"[_-]+", " ", tool[1]).strip().title()


def _candidates(way: str, *records: Any) -> Iterator[dict[str, Any]]:
    """The answers that are as good as each other: either-version, either-era."""
    transport, mode = way.split("/")
    other = f"{transport}/{'legacy' if mode == 'modern' else 'modern'}"
    for each in records:
        every: dict[str, Any] = each["records"] if each else {}
        known = {name: _items(record) for name, record in every.items() if "error" not in record}
        items = known.get(way) or known.get(f"{transport}/legacy") or known.get("memory/legacy")
        if items is None:
            continue
        yield items
        across = known.get(other, {})
        yield {name: across.get(name, item) if _failed(item) else item for name, item in items.items()}


def _different(theirs: Iterable[dict[str, Any]], ours: dict[str, Any]) -> list[Difference]:
    """What agrees with none of theirs; said of the first."""
    kept: list[Difference] | None = None
    for left in theirs:
        found = [leaf for name in sorted({*left, *ours}) for leaf in _pair(name, left.get(name), ours.get(name))]
        places = {where for where, _, _ in found}
        kept = found if kept is None else [leaf for leaf in kept if leaf[0] in places]
    return kept or []


def _pair(where: str, left: Any, right: Any) -> list[Difference]:
    if _failed(left) and _failed(right) and (_library_words(left) or _library_words(right)):
        left, right = left["heard"], right["heard"]
    return _leaves(where, left, right)


def _failed(item: Any) -> bool:
    """Whether it is a call that failed."""
    if not isinstance(item, dict) or "heard" not in item:
        return False
    call = cast("dict[str, Any]", item)
    return "error" in call or bool(call["result"].get("isError"))


def _library_words(call: dict[str, Any]) -> bool:
    """Whether the failure is told in words of the library; without a code it is the client's own."""
    if "error" in call and call["error"]["code"] is None:
        return True
    words = (
        r"validation errors? for |^(In|Out)put validation error|^(Unknown \w+|\w+ not found): "
        r"|Failed to resolve dependency|Injected `"
    )
    texts = [call["error"]["text"]] if "error" in call else [block.get("text") for block in call["result"]["content"]]
    return any(isinstance(text, str) and re.search(words, text) for text in texts)


def _items(record: Any) -> dict[str, Any]:
    """What a client sees of the servers, by place, without what the rules leave out."""
    items: dict[str, Any] = {}
    keys = {"tools": "name", "resources": "uri", "templates": "uriTemplate", "prompts": "name"}
    for server, seen in record["servers"].items():
        items[f"{server} about"] = _about(seen["about"])
        items[f"{server} routes"] = _clean(seen.get("routes"))
        for kind, key in keys.items():
            if isinstance(seen[kind], dict):
                items[f"{server} {kind}"] = "fails"
                continue
            items[f"{server} {kind}"] = [each[key] for each in seen[kind]]
            for each in seen[kind]:
                items[f"{server} {kind} {each[key]}"] = _listed(each)
        for number, call in enumerate(seen["calls"]):
            kind, name, arguments = call["call"]
            items[f"{server} call {number} {kind} {name} {json.dumps(arguments)}"] = _called(call)
    return items


def _about(about: Any) -> dict[str, Any]:
    info = {name: value for name, value in about["serverInfo"].items() if name != "version"}
    if re.fullmatch(r"(FastMCP|Headrace)(-\w+)?", info["name"]):
        del info["name"]
    return {"serverInfo": info, "instructions": about.get("instructions")}


def _listed(each: dict[str, Any]) -> dict[str, Any]:
    listed = {name: _schema(value) if name.endswith("Schema") else value for name, value in each.items()}
    if listed.get("inputSchema", {}).get("additionalProperties") is False:
        del listed["inputSchema"]["additionalProperties"]
    if not listed.get("arguments", True):
        del listed["arguments"]
    if "outputSchema" in listed and listed["outputSchema"].get("x-fastmcp-wrap-result"):
        listed["outputSchema"].pop("description", None)
    return _without_envelope(_clean(listed))


def _called(call: dict[str, Any]) -> dict[str, Any]:
    heard = [[kind, _heard(value)] for kind, value in call["heard"]]
    if "error" in call:
        return {"heard": heard, "error": {name: _clean(call["error"][name]) for name in ("code", "text")}}
    result = _without_envelope(_clean(call["result"]))
    if result.get("isError") is False:
        del result["isError"]
    if result.get("isError"):
        for block in result["content"]:
            if isinstance(block.get("text"), str):
                block["text"] = re.sub(r"^Error (calling|executing) tool '?[\w-]+'?: ", "", block["text"])
    return {"heard": heard, "result": result}


def _heard(value: Any) -> Any:
    if isinstance(value, dict) and "requestedSchema" in value:
        asked = cast("dict[str, Any]", value)
        return _clean({**asked, "requestedSchema": _schema(asked["requestedSchema"])})
    return _clean(value)


def _without_envelope(value: dict[str, Any]) -> dict[str, Any]:
    value = {name: each for name, each in value.items() if name not in ("resultType", "ttlMs", "cacheScope")}
    own = ("fastmcp", "_fastmcp", "io.modelcontextprotocol/serverInfo")
    meta = {name: each for name, each in value.pop("_meta", {}).items() if name not in own}
    return value | ({"_meta": meta} if meta else {})


def _schema(schema: Any, named: bool = False) -> Any:
    """Without titles; `named`: the keys are names of properties, not keywords."""
    if isinstance(schema, list):
        return [_schema(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: _schema(value, name in ("properties", "$defs") and not named)
        for name, value in cast("dict[str, Any]", schema).items()
        if named or not (name == "title" and isinstance(value, str))
    }
    if not named and isinstance(kept.get("required"), list):
        kept["required"] = sorted(kept["required"])
    return kept


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_clean(each) for each in cast("list[Any]", value)]
    return _text(value) if isinstance(value, str) else value


_MASKED = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?", "<time>"),
    (r"\b1[67]\d{8}(\.\d+)?\b", "<time>"),
    (r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b", "<id>"),
    (r"\b0x[0-9a-f]{6,}\b", "<address>"),
    (r"/tmp/tmp\w+", "<directory>"),
    (r"^(python-httpx2?|headrace)(/\S+)?$", "<client>"),
]


def _text(text: str) -> Any:
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            return {"<JSON>": _clean(json.loads(text))}
    words = re.search(r"Provide .*? matching the following (JSON )?schema: (?=\{)", text)
    if words:
        with suppress(ValueError):
            schema = json.JSONDecoder().raw_decode(text[words.end() :])[0]
            return {"before": text[: words.start()].strip(), "schema": _schema(schema)}
    for pattern, replacement in _MASKED:
        text = re.sub(pattern, replacement, text)
    return text


def _leaves(where: str, left: Any, right: Any) -> list[Difference]:
    """The innermost places where two values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        a, b = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
        return [leaf for key in sorted({*a, *b}) for leaf in _leaves(f"{where} .{key}", a.get(key), b.get(key))]
    if isinstance(left, list) and isinstance(right, list):
        a, b = cast("list[Any]", left), cast("list[Any]", right)
        if len(a) == len(b):
            return [leaf for n, each in enumerate(a) for leaf in _leaves(f"{where} [{n}]", each, b[n])]
    return [] if left == right else [(where, left, right)]
