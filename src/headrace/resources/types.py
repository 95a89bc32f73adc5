"""Ready-made resources: text, bytes, a file, a directory, something on the web."""

from __future__ import annotations

import json
import mimetypes
import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..components.workers import workers
from ..exceptions import FetchError, ResourceError
from .resource import Resource

__all__ = ["BinaryResource", "DirectoryResource", "FileResource", "HttpResource", "TextResource"]

_JSON, _BYTES = "application/json", "application/octet-stream"
_TEXTS = frozenset({"json", "xml", "yaml", "toml", "javascript", "sql", "graphql", "x-sh"})
"""Subtypes of application/ that are text."""
_SUFFIXES = {
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
}
"""What not every system knows."""
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)


class TextResource(Resource):
    """A text."""

    def __init__(
        self, *, uri: str, text: str, name: str | None = None, mime_type: str = "text/plain", **resource: Any
    ) -> None:
        super().__init__(uri, name, mime_type=mime_type, **resource)
        self.text = text

    async def read(self) -> str:
        return self.text


class BinaryResource(Resource):
    """Bytes."""

    def __init__(
        self, *, uri: str, data: bytes, name: str | None = None, mime_type: str = _BYTES, **resource: Any
    ) -> None:
        super().__init__(uri, name, mime_type=mime_type, **resource)
        self.data = data

    async def read(self) -> bytes:
        return self.data


class FileResource(Resource):
    """A file, read each time. Its MIME type follows from its suffix, and whether it is text from the MIME type."""

    def __init__(
        self,
        *,
        uri: str,
        path: str | Path,
        name: str | None = None,
        mime_type: str | None = None,
        is_binary: bool | None = None,
        encoding: str | None = "utf-8",
        **resource: Any,
    ) -> None:
        """`encoding` None: the system's. Raises ValueError for a path that is not absolute."""
        self.path = _absolute(path)
        mime_type = mime_type or _mime_type(self.path)
        super().__init__(uri, name, mime_type=mime_type, **resource)
        self.is_binary = not _is_text(mime_type) if is_binary is None else is_binary
        self.encoding = encoding

    async def read(self) -> str | bytes:
        """Raises ResourceError; it does not tell the client where the file lies."""
        try:
            if self.is_binary:
                return await workers.run(self.path.read_bytes)
            return await workers.run(partial(self.path.read_text, encoding=self.encoding))
        except OSError as error:
            raise ResourceError(f"The file of {self.uri!r} can't be read: {error.strerror}") from error
        except ValueError as error:  # UnicodeDecodeError
            raise ResourceError(
                f"The file of {self.uri!r} is no text in {self.encoding}: use is_binary=True"
            ) from error


class DirectoryResource(Resource):
    """The names of the files in a directory, as JSON: ``{"files": [...]}``.

    With `recursive`, also those of the directories in it; `pattern` is a glob ("*.md"). What lies outside of the
    directory is never named, whatever symbolic links point to.
    """

    def __init__(
        self,
        *,
        uri: str,
        path: str | Path,
        name: str | None = None,
        mime_type: str = _JSON,
        recursive: bool = False,
        pattern: str | None = None,
        **resource: Any,
    ) -> None:
        """Raises ValueError for a path that is not absolute, or a pattern that leads out of it."""
        super().__init__(uri, name, mime_type=mime_type, **resource)
        self.path = _absolute(path)
        self.recursive = recursive
        self.pattern = pattern
        if pattern is not None and (Path(pattern).is_absolute() or ".." in Path(pattern).parts):
            raise ValueError(f"A pattern stays inside the directory, unlike {pattern!r}")

    async def list_files(self) -> list[Path]:
        """The files, sorted. Raises FileNotFoundError, NotADirectoryError, or another OSError."""
        return await workers.run(self._list)

    async def read(self) -> str:
        """Raises ResourceError; it does not tell the client where the directory lies."""
        try:
            files = await self.list_files()
        except OSError as error:
            raise ResourceError(f"The directory of {self.uri!r} can't be read: {error.strerror}") from error
        return json.dumps({"files": [each.relative_to(self.path).as_posix() for each in files]}, indent=2)

    def _list(self) -> list[Path]:
        # Opened first, for the OSError: glob() takes a file for an empty directory, and resolve() raises a RuntimeError
        # for a link to itself.
        if next(self.path.iterdir(), None) is None:
            return []
        root = self.path.resolve()
        found = (self.path.rglob if self.recursive else self.path.glob)(self.pattern or "*")
        return sorted(each for each in found if each.is_file() and each.resolve().is_relative_to(root))


class HttpResource(Resource):
    """What a URL answers, fetched each time: https only, from public addresses only, without redirects.

    `allow_private` allows addresses of one's own networks, and plain http to this machine.
    """

    def __init__(
        self,
        *,
        uri: str,
        url: str,
        name: str | None = None,
        mime_type: str = _JSON,
        allow_private: bool = False,
        timeout: float = 10.0,
        max_bytes: int = 4 * 1024 * 1024,
        **resource: Any,
    ) -> None:
        """`timeout` is in seconds. Raises ValueError for what is no http(s) URL."""
        super().__init__(uri, name, mime_type=mime_type, **resource)
        self.url = str(url)
        if urlsplit(self.url).scheme not in ("https", "http"):
            raise ValueError(f"url= is an https:// URL, not {url!r}")
        self.allow_private = allow_private
        self.timeout = timeout
        self.max_bytes = max_bytes

    async def read(self) -> str | bytes:
        """Text if the MIME type is one of text, else bytes. Raises FetchError."""
        # A doorway: servers that fetch nothing do without an HTTP client.
        from ..transports.http.fetch import fetch

        fetched = await fetch(
            self.url, max_bytes=self.max_bytes, timeout=self.timeout, allow_private=self.allow_private
        )
        if not 200 <= fetched.status < 300:
            raise FetchError(f"The URL of {self.uri!r} answered with status {fetched.status}")
        if not _is_text(self.mime_type or ""):
            return fetched.body
        charset = _CHARSET.search(fetched.headers.get("content-type", ""))
        try:
            return fetched.body.decode(charset[1] if charset else "utf-8", "replace")
        except LookupError:  # a charset that Python does not know
            return fetched.body.decode("utf-8", "replace")


def _absolute(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_absolute():
        raise ValueError(f"path= is absolute, unlike {str(path)!r}: use Path(...).resolve()")
    return path


def _mime_type(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    kind, packed = mimetypes.guess_type(f"x{suffix}")
    return _BYTES if packed else kind or "text/plain"


def _is_text(mime_type: str) -> bool:
    kind, _, subtype = mime_type.partition(";")[0].strip().lower().partition("/")
    return (
        kind == "text" or subtype.rpartition("+")[2] in ("json", "xml") or (kind == "application" and subtype in _TEXTS)
    )
