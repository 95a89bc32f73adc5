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
from ..protocol.types import CallToolResult, InputRequiredResult, Result
from ..redaction import log_failure
from .peers import Envelope, Session

__all__ = ["Exchange"]

logger = logging.getLogger(__name__)


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
    error: McpError | None = None
    """The one that the response carries, if it does: a binding may say that in a status, too."""
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

    async def run(self, call: Call, peer: Envelope | Session, task: asyncio.Task[Any] | None) -> bytes | None:
        """The response; None where nobody waits for one. `task` is the one it runs in."""
        self._task = task
        self.running.add(self)
        id = call.id if call.id is not None else ""
        try:
            try:
                peer.begin(call, task)
                answer = await self.handler(call)
                # The common one first: to ask a struct for a class that it has not is slow.
                if not isinstance(answer, CallToolResult) and isinstance(answer, InputRequiredResult):
                    answer = await peer.asked(answer, self.handler, call)
            except (Exception, asyncio.CancelledError):
                if peer.replay is None or not peer.replay.stopped:
                    raise
                answer = None
            finally:
                peer.end()
            if peer.replay is not None and peer.replay.stopped:
                answer = peer.replay.questions()
            if isinstance(answer, CallToolResult):
                result = answer
            elif isinstance(answer, Encoded):
                result = answer.body
            elif isinstance(answer, Result):
                result = answer
            else:
                raise TypeError(f"{call.method} is answered with a stream, not with {type(answer).__name__}")
            return encode_response(id, result, peer.era, self.stamp)
        except asyncio.CancelledError:
            gone = self.waiting is not None and self.waiting.gone
            if self._task is None:
                raise
            if not (self._cancelled or gone):
                if self._task.cancelling():
                    raise  # whoever runs this task ends it
                logger.exception("%s was cancelled from inside", call.method)
                return self._failed(id, McpError("The call was cancelled", code=INTERNAL_ERROR))
            self._task.uncancel()
            if not self._stopped:
                return None
            return self._failed(id, McpError("The server is shutting down", code=INTERNAL_ERROR))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exception:  # a function that exits, or a panic of Rust code, ends its call and no more
            error = to_error(exception, peer.era)
            if not isinstance(exception, FastMCPError):
                log_failure(logger, exception, call.secrets, "%s failed", call.method)
            return self._failed(id, error)
        finally:
            self._task = None
            self.running.discard(self)

    def _failed(self, id: int | str, error: McpError) -> bytes:
        try:
            self.error = error
            return encode_error(id, error.code, error.message, error.data)
        except (TypeError, ValueError):
            logger.exception("An error can't be told: its message or data is no JSON")
            self.error = McpError("Internal error")
            return encode_error(id, INTERNAL_ERROR, "Internal error")
