"""`MessageHandler`: one method per notification of the server, for ``Client(server, message_handler=handler)``.

A server's questions never come here: they go to the handlers that answer them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ..protocol.methods import METHODS
from .handlers import MessageHandler as MessageHandlerT
from .handlers import Notice

__all__ = ["Message", "MessageHandler", "MessageHandlerT"]


@dataclass(frozen=True, slots=True)
class Message:
    """A notification: `params` is the struct of its method, a dict where the method is an extension's."""

    method: str
    params: Any

    @property
    def root(self) -> Message:
        """The message itself; with the official SDK it is wrapped."""
        return self


class MessageHandler:
    """Override what you want to hear. `on_message` and `on_notification` hear everything, the others their own."""

    async def __call__(self, message: Notice) -> None:
        known = METHODS.get(message.method)
        params = message.params if known is None else msgspec.convert(message.params, known.params)
        await self.dispatch(Message(message.method, params))

    async def dispatch(self, message: Message) -> None:
        await self.on_message(message)
        await self.on_notification(message)
        hooks: dict[str, Callable[[Message], Awaitable[None]]] = {
            "notifications/cancelled": self.on_cancelled,
            "notifications/progress": self.on_progress,
            "notifications/message": self.on_logging_message,
            "notifications/tools/list_changed": self.on_tool_list_changed,
            "notifications/resources/list_changed": self.on_resource_list_changed,
            "notifications/prompts/list_changed": self.on_prompt_list_changed,
            "notifications/resources/updated": self.on_resource_updated,
        }
        hook = hooks.get(message.method)
        if hook is not None:
            await hook(message)

    async def on_message(self, message: Message) -> None: ...

    async def on_notification(self, message: Message) -> None: ...

    async def on_progress(self, message: Message) -> None: ...

    async def on_logging_message(self, message: Message) -> None: ...

    async def on_tool_list_changed(self, message: Message) -> None: ...

    async def on_resource_list_changed(self, message: Message) -> None: ...

    async def on_prompt_list_changed(self, message: Message) -> None: ...

    async def on_resource_updated(self, message: Message) -> None: ...

    async def on_cancelled(self, message: Message) -> None: ...
