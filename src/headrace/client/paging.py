"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..exceptions import ClientError
from ..protocol.types import PaginatedResult

__all__ = ["MAX_PAGES", "all_pages"]

P = TypeVar("P", bound=PaginatedResult)

MAX_PAGES = 1000
"""A server that never comes to an end is stopped here."""


async def all_pages(page_at: Callable[[str | None], Awaitable[P]], what: str) -> list[P]:
    """Every page, following the cursors. Raises ClientError for a list without end."""
    pages: list[P] = []
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await page_at(cursor)
        pages.append(page)
        cursor = page.next_cursor
        if cursor is None:
            return pages
        if cursor in seen:
            raise ClientError(f"{what} goes in a circle: the same cursor came twice")
        seen.add(cursor)
    raise ClientError(f"{what} has more than {MAX_PAGES} pages")
