"""The ready-made resources, on real files and a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import FastMCPError, ResourceError
from headrace.protocol.types import ReadResourceResult
from headrace.resources import (
    BinaryResource,
    DirectoryResource,
    FileResource,
    HttpResource,
    Resource,
    TextResource,
)

WITHOUT: Any = None


async def wire(resource: Resource) -> tuple[Any, ...]:
    answer = await resource.answer(WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    (part,) = answer.contents
    assert part.uri == resource.uri
    return part.text, part.blob, part.mime_type


async def test_text_and_bytes() -> None:
    text = TextResource(uri="resource://notice", text="Hello", name="Notice", tags={"t"}, meta={"k": 1})
    assert await text.read() == "Hello"
    assert await wire(text) == ("Hello", None, "text/plain")
    assert text.to_wire().meta == {"k": 1, "fastmcp": {"tags": ["t"]}}
    data = BinaryResource(uri="resource://data", data=b"\1", mime_type="image/png")
    assert data.name == "resource://data"
    assert await data.read() == b"\1"
    assert await wire(data) == (None, "AQ==", "image/png")


@pytest.mark.parametrize(
    ("file", "data", "options", "expected"),
    [
        ("a.txt", b"h\xc3\xa9", {}, ("hé", None, "text/plain")),
        ("a.md", b"# A", {}, ("# A", None, "text/markdown")),
        ("a.json", b"{}", {}, ("{}", None, "application/json")),
        ("a.svg", b"<svg/>", {}, ("<svg/>", None, "image/svg+xml")),
        ("a.yaml", b"a: 1", {}, ("a: 1", None, "application/yaml")),
        ("LICENSE", b"Free", {}, ("Free", None, "text/plain")),
        ("a.png", b"\1", {}, (None, "AQ==", "image/png")),
        ("a.tar.gz", b"\1", {}, (None, "AQ==", "application/octet-stream")),
        ("a.txt", b"\1", {"is_binary": True}, (None, "AQ==", "text/plain")),
        ("a.bin", b"text", {"is_binary": False}, ("text", None, "application/octet-stream")),
        ("a.txt", b"text", {"mime_type": "application/pdf"}, (None, "dGV4dA==", "application/pdf")),
        ("a.txt", b"\xe9", {"encoding": "latin-1"}, ("é", None, "text/plain")),
    ],
)
async def test_file(tmp_path: Path, file: str, data: bytes, options: dict[str, Any], expected: tuple[Any, ...]) -> None:
    path = tmp_path / file
    path.write_bytes(data)
    assert await wire(FileResource(uri="file:///x", path=path, **options)) == expected


@pytest.mark.parametrize(
    ("write", "message"), [(None, "No such file"), (b"\xff", "no text in utf-8: use is_binary=True")]
)
async def test_a_file_that_cannot_be_read(tmp_path: Path, write: bytes | None, message: str) -> None:
    path = tmp_path / "a.txt"
    if write is not None:
        path.write_bytes(write)
    with pytest.raises(ResourceError, match=message) as caught:
        await FileResource(uri="file:///x", path=str(path)).read()
    assert str(tmp_path) not in str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in (root / "b.txt", root / "a.md", root / "sub/c.md", outside / "secret.md"):
        path.write_text("x")
    (root / "link.md").symlink_to(outside / "secret.md")
    (root / "inside.md").symlink_to(root / "a.md")
    (root / "linked").symlink_to(outside)
    (root / "loop").symlink_to(root)
    return root


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({}, ["a.md", "b.txt", "inside.md"]),
        ({"pattern": "*.md"}, ["a.md", "inside.md"]),
        ({"recursive": True}, ["a.md", "b.txt", "inside.md", "sub/c.md"]),
        ({"recursive": True, "pattern": "*.md"}, ["a.md", "inside.md", "sub/c.md"]),
        ({"pattern": "linked/*"}, []),
        ({"pattern": "sub/*"}, ["sub/c.md"]),
        ({"pattern": "*.nothing"}, []),
    ],
)
async def test_directory(tree: Path, options: dict[str, Any], files: list[str]) -> None:
    made = DirectoryResource(uri="dir://x", path=tree, **options)
    text, _, mime_type = await wire(made)
    assert (json.loads(text), mime_type) == ({"files": files}, "application/json")
    assert await made.list_files() == [tree / each for each in files]


async def test_an_empty_directory(tmp_path: Path) -> None:
    assert json.loads(await DirectoryResource(uri="dir://x", path=tmp_path).read()) == {"files": []}


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "No such file"), ("file", "Not a directory"), ("itself", "Too many levels")]
)
async def test_what_is_no_directory(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    with pytest.raises(ResourceError, match=message) as caught:
        await DirectoryResource(uri="dir://x", path=tmp_path / name).read()
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FileResource(uri="file:///x", path="a.txt"), "absolute"),
        (lambda: DirectoryResource(uri="dir://x", path="a"), "absolute"),
        (lambda: DirectoryResource(uri="dir://x", path="/tmp", pattern="../*"), "inside"),
        (lambda: DirectoryResource(uri="dir://x", path="/tmp", pattern="/etc/*"), "inside"),
        (lambda: HttpResource(uri="http://x", url="file:///etc/passwd"), "https://"),
    ],
)
def test_what_is_refused_when_made(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@asynccontextmanager
async def web(answer: bytes) -> AsyncIterator[int]:
    """A server on this machine that gives everybody the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def response(body: bytes, content_type: str = "application/json", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (response(b"{}"), {}, ("{}", None, "application/json")),
        (response(b"\xe9", "text/plain; charset=latin-1"), {"mime_type": "text/plain"}, ("é", None, "text/plain")),
        (response(b"a", "text/plain; charset=klingon"), {"mime_type": "text/plain"}, ("a", None, "text/plain")),
        (response(b"\1", "image/png"), {"mime_type": "image/png"}, (None, "AQ==", "image/png")),
    ],
)
async def test_http(answer: bytes, options: dict[str, Any], expected: tuple[Any, ...]) -> None:
    async with web(answer) as port:
        made = HttpResource(uri="web://x", url=f"http://127.0.0.1:{port}/x", allow_private=True, **options)
        assert await wire(made) == expected


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        (response(b"", status="404 Not Found"), {"allow_private": True}, "status 404"),
        (response(b"", status="302 Found"), {"allow_private": True}, "status 302"),
        (response(b"12345"), {"allow_private": True, "max_bytes": 4}, "more than 4 bytes"),
        (response(b""), {}, "https://"),
    ],
)
async def test_http_that_fails(answer: bytes, options: dict[str, Any], message: str) -> None:
    async with web(answer) as port:
        with pytest.raises(FastMCPError, match=message):
            await HttpResource(uri="web://x", url=f"http://127.0.0.1:{port}/x", **options).read()


def test_resources_load_no_http_client() -> None:
    program = "import sys, headrace.resources; sys.exit('httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
