"""One call on its way through the handler, in the task it is run in; the same for every transport."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from msgspec import Struct

from ..call import Call, Encoded, Handler
from ..exceptions import FastMCPError, McpError
from ..protocol.errors import INTERNAL_ERROR, to_error
from ..protocol.jsonrpc import encode_error
from ..protocol.results import encode_response
from ..protocol.types import CallToolResult, Result
from .peers import Envelope, Session

__all__ = ["Answered", "Exchange"]

logger = logging.getLogger(__name__)


class Answered(Struct, eq=False):
    """A response, and the error it carries, if it does: a binding may say that in a status, too."""

    body: bytes
    error: McpError | None = None


class Waiting(Protocol):
    """Whoever waits for the answer."""

    @property
    def gone(self) -> bool:
        """Whether its client left."""
        ...


class Exchange(Struct, eq=False):
    """One call on its way through the handler. `running` is where shutdown finds the calls."""

    handler: Handler
    stamp: bytes
    running: set[Exchange]
    waiting: Waiting | None = None
    _task: asyncio.Task[Any] | None = None
    _cancelled: bool = False
    _stopped: bool = False

    def cancel(self) -> None:
        """The client no longer wants the answer."""
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def stop(self) -> None:
        """The server goes down and has waited long enough."""
        self._stopped = True
        self.cancel()

    async def run(self, call: Call, peer: Envelope | Session, task: asyncio.Task[Any] | None) -> Answered | None:
        """The answer; None where nobody waits for one. `task` is the one it runs in."""
        self._task = task
        self.running.add(self)
        id = call.id if call.id is not None else ""
        try:
            answer = await peer.run(self.handler, call, task)
            # The common one first: to ask a struct for a class that it has not is slow.
            if isinstance(answer, CallToolResult):
                result = answer
            elif isinstance(answer, Encoded):
                result = answer.body
            elif isinstance(answer, Result):
                result = answer
            else:
                raise TypeError(f"{call.method} is answered with a stream, not with {type(answer).__name__}")
            return Answered(encode_response(id, result, peer.era, self.stamp))
        except asyncio.CancelledError:
            gone = self.waiting is not None and self.waiting.gone
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
            error = to_error(exception, peer.era)
            if not isinstance(exception, FastMCPError):
                logger.exception("%s failed", call.method)
            return _failed(id, error)
        finally:
            self._task = None
            self.running.discard(self)


def _failed(id: int | str, error: McpError) -> Answered:
    try:
        return Answered(encode_error(id, error.code, error.message, error.data), error)
    except (TypeError, ValueError):
        logger.exception("An error can't be told: its message or data is no JSON")
        return Answered(encode_error(id, INTERNAL_ERROR, "Internal error"), McpError("Internal error"))
