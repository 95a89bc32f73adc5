"""One call on its way through the handler, in the task it is run in; the same for every transport."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from ..call import Call, Encoded, Handler
from ..exceptions import FastMCPError, McpError
from ..protocol.errors import INTERNAL_ERROR, to_error
from ..protocol.jsonrpc import encode_error, encode_result
from ..protocol.results import encode_result_object, splice
from ..protocol.types import Result
from .peers import Envelope, Session

__all__ = ["Answered", "Exchange"]

logger = logging.getLogger(__name__)


class Answered:
    """A response, and the error it carries, if it does: a binding may say that in a status, too."""

    __slots__ = ("body", "error")

    def __init__(self, body: bytes, error: McpError | None = None) -> None:
        self.body = body
        self.error = error


class Waiting(Protocol):
    """Whoever waits for the answer."""

    gone: bool


class Exchange:
    """One call on its way through the handler.

    `waiting` tells whether its client left; `running` is where shutdown finds the calls.
    """

    __slots__ = ("_cancelled", "_handler", "_running", "_stamp", "_stopped", "_task", "_waiting")

    def __init__(self, handler: Handler, stamp: bytes, waiting: Waiting | None, running: set[Exchange]) -> None:
        self._handler = handler
        self._stamp = stamp
        self._waiting = waiting
        self._running = running
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False
        self._stopped = False

    def cancel(self) -> None:
        """The client no longer wants the answer."""
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def stop(self) -> None:
        """The server goes down and has waited long enough."""
        self._stopped = True
        self.cancel()

    async def run(self, call: Call, peer: Envelope | Session) -> Answered | None:
        """The answer; None where nobody waits for one."""
        self._task = asyncio.current_task()
        self._running.add(self)
        id = call.id if call.id is not None else ""
        era = call.era
        try:
            result = await peer.run(self._handler, call)
            if isinstance(result, Encoded):
                return Answered(encode_result(id, splice(result.body, era, self._stamp)))
            if not isinstance(result, Result):
                raise TypeError(f"{call.method} is answered with a stream, not with {type(result).__name__}")
            return Answered(encode_result(id, encode_result_object(result, era, self._stamp)))
        except asyncio.CancelledError:
            gone = self._waiting is not None and self._waiting.gone
            if self._task is None:
                raise
            if not (self._cancelled or gone):
                if self._task.cancelling():
                    raise  # whoever runs this task ends it
                logger.exception("%s was cancelled from inside", call.method)
                return _failed(id, McpError("The call was cancelled", code=INTERNAL_ERROR))
            self._task.uncancel()
            if not self._stopped:
                return None
            return _failed(id, McpError("The server is shutting down", code=INTERNAL_ERROR))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exception:  # a function that exits, or a panic of Rust code, ends its call and no more
            error = to_error(exception, era)
            if not isinstance(exception, FastMCPError):
                logger.exception("%s failed", call.method)
            return _failed(id, error)
        finally:
            self._task = None
            self._running.discard(self)


def _failed(id: int | str, error: McpError) -> Answered:
    try:
        return Answered(encode_error(id, error.code, error.message, error.data), error)
    except (TypeError, ValueError):
        logger.exception("An error can't be told: its message or data is no JSON")
        return Answered(encode_error(id, INTERNAL_ERROR, "Internal error"), McpError("Internal error"))
