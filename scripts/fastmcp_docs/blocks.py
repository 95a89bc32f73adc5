"""The servers in the documentation: Python code blocks of its pages, read from a Git directory."""

from __future__ import annotations

import ast
import re
import subprocess
import textwrap
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["LATER", "Block", "for_headrace", "read_blocks"]

PAGES = ("docs/servers", "docs/getting-started", "docs/integrations")
_FENCE = re.compile(r"^(?P<indent>[ \t]*)```(?:python|py)\b[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$", re.M | re.S)

PREAMBLE = """\
import asyncio, base64, json, os, random, re, time, uuid
import datetime as _datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, Optional, TypedDict, Union
from uuid import UUID
from pydantic import BaseModel, Field
from fastmcp import Context, FastMCP
"""
"""What a block that goes on with its page may count on."""

LATER = {
    r"fastmcp\.server\.middleware|\.add_middleware\(|FastMCP\([^)]*\bmiddleware=": "fastmcp.server.middleware",
    r"fastmcp\.server(\.providers)?\.proxy|create_proxy|as_proxy|ProxyClient": "fastmcp.server.proxy",
    r"\.mount\(|\.import_server\(": "mount, import_server",
    r"openapi|from_fastapi": "fastmcp.server.openapi",
    r"fastmcp\.(server|experimental)\.transforms|\.add_transform\(|\btransforms=": "fastmcp.server.transforms",
    r"tool_transform|ToolTransform|ArgTransform|transform_args|resource_prefix_format": "fastmcp.server.transforms",
    r"fastmcp\.server\.providers|\.add_provider\(|\bproviders=|local_provider": "fastmcp.server.providers",
    r"fastmcp_tasks|\btask=|TaskConfig|TasksExtension|fastmcp\.utilities\.tasks": "fastmcp_tasks",
    r"fastmcp\.apps|FastMCPApp|\bapp=(True|AppConfig)": "fastmcp.apps",
    r"fastmcp\.telemetry|opentelemetry": "fastmcp.telemetry",
    r"key_value|session_state_store": "key_value",
    r"fastmcp\.experimental\.sampling": "fastmcp.experimental.sampling",
}
"""Marks in a block's source -> the later step that brings what it needs."""


@dataclass(frozen=True, slots=True)
class Block:
    revision: str
    page: str
    line: int
    source: str
    """The block as it stands."""
    sources: tuple[str, ...]
    """What is tried, best first: the block; for a fragment, with what its page lets it count on."""
    complete: bool
    later: str | None

    @property
    def id(self) -> str:
        return f"{self.revision}:{self.page}:{self.line}"

    @property
    def digest(self) -> str:
        return sha256("\0".join(self.sources).encode()).hexdigest()[:24]


def read_blocks(git_dir: str, revision: str) -> list[Block]:
    """Every block of the pages that makes a server, or registers something on one. Raises CalledProcessError."""
    names = _git(git_dir, "ls-tree", "-r", "--name-only", revision, *PAGES).splitlines()
    blocks: list[Block] = []
    for name in names:
        if name.endswith(".mdx"):
            blocks += _of_page(revision, name, _git(git_dir, "show", f"{revision}:{name}"))
    return blocks


def _of_page(revision: str, page: str, text: str) -> list[Block]:
    blocks: list[Block] = []
    before: str | None = None
    for match in _FENCE.finditer(text):
        code = textwrap.dedent(match["code"])
        line = text.count("\n", 0, match.start()) + 2
        kind = _kind(code)
        if kind is None:
            continue
        sources = (code,) if kind else _with_preambles(code, before)
        if kind:
            before = code
        later = next((name for mark, name in LATER.items() if re.search(mark, code)), None)
        blocks.append(Block(revision, page, line, code, sources, kind, later))
    return blocks


def _kind(code: str) -> bool | None:
    """True for a complete server, False for a fragment of one, None for neither."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    nodes = list(ast.walk(tree))
    makes = any(isinstance(node, ast.Call) and _last_name(node.func) == "FastMCP" for node in nodes)
    imports = any(isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fastmcp" for node in nodes)
    imports |= any(isinstance(node, ast.Import) and node.names[0].name.split(".")[0] == "fastmcp" for node in nodes)
    if makes and imports:
        return True
    uses = any(
        isinstance(node, ast.Name) and node.id in ("mcp", "server") and isinstance(node.ctx, ast.Load) for node in nodes
    )
    return False if makes or uses else None


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _with_preambles(code: str, before: str | None) -> tuple[str, ...]:
    minimal = PREAMBLE + 'mcp = server = FastMCP("Docs")\n' + code
    return (minimal,) if before is None else (minimal, PREAMBLE + before + "\n" + code)


def for_headrace(source: str) -> str:
    """The source with the import line changed: of FastMCP, and of the protocol's types."""
    source = re.sub(r"^(\s*from )fastmcp(?=[ .])", r"\1headrace", source, flags=re.M)
    source = re.sub(r"^(\s*import )fastmcp(?=\.)", r"\1headrace", source, flags=re.M)
    source = re.sub(r"^(\s*import )fastmcp[ \t]*$", r"\1headrace as fastmcp", source, flags=re.M)
    source = re.sub(r"^(\s*from )(mcp\.types|mcp_types)(?= import)", r"\1headrace.types", source, flags=re.M)
    return re.sub(r"^(\s*)import mcp_types[ \t]*$", r"\1import headrace.types as mcp_types", source, flags=re.M)


def _git(git_dir: str, *arguments: str) -> str:
    command = ["git", "-C", git_dir, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
