"""What the endpoints of an authorization server answer, and OAuth's errors (RFC 6749, 5; RFC 7591, 3.2.2)."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ....exceptions import StoreError
from .contract import oauth_error
from .parameters import Parameters, of_form

__all__ = ["NO_STORE", "answered", "busy", "error_answer", "json_answer", "redirect"]

logger = logging.getLogger(__name__)

NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_STATUS = {"invalid_client": 401, "temporarily_unavailable": 503}
_RETRY_SECONDS = 5


async def answered(request: Request, answer: Callable[[Parameters], Awaitable[Response]]) -> Response:
    """An answer to a form, with OAuth's errors as JSON."""
    try:
        return await answer(await of_form(request))
    except Exception as error:
        response = error_answer(error)
        if response.status_code == 401 and "authorization" in request.headers:
            response.headers["www-authenticate"] = 'Basic realm="OAuth", charset="UTF-8"'
        return response


def json_answer(status: int, document: Any) -> Response:
    return Response(msgspec.json.encode(document), status, headers=NO_STORE, media_type="application/json")


def redirect(url: str) -> Response:
    return RedirectResponse(url, 302, headers={**NO_STORE, "referrer-policy": "no-referrer"})


def error_answer(error: Exception) -> Response:
    """Raises it again where it is neither OAuth's nor the store's."""
    if isinstance(error, StoreError):
        logger.error("The store of the authorization server failed", exc_info=error)
        return busy(503, "The server is out of order: try again later", _RETRY_SECONDS)
    said = oauth_error(error)
    if said is None:
        raise error
    status = _STATUS.get(said.error, 400)
    if status == 503:
        return busy(status, said.error_description, _RETRY_SECONDS)
    members = {"error": said.error, "error_description": said.error_description}
    return json_answer(status, {name: text for name, text in members.items() if text})


def busy(status: int, why: str | None, wait: float) -> Response:
    """Come again after so many seconds."""
    response = json_answer(status, {"error": "temporarily_unavailable", "error_description": why or "Try again later"})
    response.headers["retry-after"] = str(math.ceil(wait))
    return response
