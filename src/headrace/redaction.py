"""Log lines without secrets: the traceback of a user's function is logged, the values it was called with are not.

What Headrace logs by itself names methods, components and what is wrong with a message; never a token, a cookie, an
argument or the query of a URL. An exception of somebody else's code may have any of them in its text: `log_failure`
blanks out the credentials of the request, and every value that came with the call.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import unquote

__all__ = ["BLANK", "log_failure", "secrets_of", "without_query"]

BLANK = "***"
_CREDENTIALS = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"dpop"))
_PRIVATE = ("arguments", "inputResponses", "requestState", "argument", "uri")
_SHORTEST = 3
"""A value of fewer characters is no secret, and blanked out it would make the text unreadable."""
_MAX_SECRETS = 2000
_MAX_TEXT = 20_000
"""Of one exception, in characters. Past these two the text is not searched, but left out."""
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_USER = re.compile(r"//[^/@]*@")


def without_query(url: str) -> str:
    """A URL as it may be logged: without user, query and fragment."""
    return _USER.sub("//", _QUERY.sub("", url, 1), 1)


def secrets_of(raw: Any, scope: Mapping[str, Any] | None, answers: Iterable[Any] = ()) -> list[str]:
    """The values in the params of a call and in its client's answers (JSON bytes), and what its HTTP request proves
    with who sends it."""
    found: list[str] = []
    for name, value in () if scope is None else scope["headers"]:
        if name in _CREDENTIALS:
            text = value.decode("latin-1")
            found += [text, text.partition(" ")[2], *(part.partition("=")[2] for part in text.split(";"))]
    query = "" if scope is None else scope.get("query_string", b"").decode("latin-1")
    found += [part.partition("=")[2] or part for part in query.split("&")]
    params = _decoded(raw)
    if isinstance(params, dict):
        members = cast("dict[str, Any]", params)
        found += _values([members.get(name) for name in _PRIVATE])
        uri = members.get("uri")
        if isinstance(uri, str):
            found += re.split(r"[/?&=#]+", unquote(uri))
    for answer in answers:
        found += _values(_decoded(answer))
    return found


def _decoded(text: Any) -> Any:
    try:
        return json.loads(bytes(text) or b"null")
    except (ValueError, RecursionError):
        return None


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _values(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def log_failure(logger: logging.Logger, error: BaseException, secrets: Iterable[str], message: str, *args: Any) -> None:
    """Log the error with its traceback, in which the secrets are blanked out.

    The record has the exception itself (`exc_info`) only where there was none: who formats it again would show them.
    """
    if not logger.isEnabledFor(logging.ERROR):
        return
    hidden = _spellings(secrets)
    chunks = traceback.format_exception(error)
    shown = [chunk if _is_code(chunk) else _blanked(chunk, hidden) for chunk in chunks] if hidden else chunks
    info = (type(error), error, error.__traceback__) if shown == chunks else None
    record = logger.makeRecord(logger.name, logging.ERROR, *_caller(), message, args, info)
    record.exc_text = "".join(shown).rstrip("\n")
    logger.handle(record)


def _caller() -> tuple[str, int]:
    frame = traceback.extract_stack(limit=3)[0]
    return frame.filename, frame.lineno or 0


def _is_code(chunk: str) -> bool:
    """Whether a piece of a traceback is a line of a program, and none of an exception's text."""
    return chunk.lstrip(" |+-").startswith(('File "', "Traceback (most recent call last)"))


def _spellings(secrets: Iterable[str]) -> list[str]:
    """As a text may have them, the longest first."""
    spelled: set[str] = set()
    for secret in secrets:
        text = secret.strip()
        if _SHORTEST <= len(text) <= _MAX_TEXT:
            spelled |= {text, repr(text)[1:-1], json.dumps(text)[1:-1]}
            if len(spelled) > _MAX_SECRETS:
                break
    return sorted(spelled, key=len, reverse=True)


def _blanked(text: str, secrets: list[str]) -> str:
    # Not one pattern of all: to compile and to match it takes minutes where a client wants it to.
    if len(text) > _MAX_TEXT or len(secrets) > _MAX_SECRETS:
        return f"{BLANK}\n"
    for secret in secrets:
        text = text.replace(secret, BLANK)
    return text
