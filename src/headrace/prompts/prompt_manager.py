"""The prompts of a server, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..components.registry import OnDuplicate, Registry
from ..exceptions import NotFoundError
from .prompt import Prompt

__all__ = ["PromptManager"]


class PromptManager(Registry[Prompt]):
    """A registry of prompts with the words of FastMCP's; it works alone, too."""

    def __init__(self, duplicate_behavior: OnDuplicate = "warn", changed: Callable[[], None] | None = None) -> None:
        super().__init__("prompt", duplicate_behavior, changed)

    def add_prompt(self, prompt: Prompt) -> Prompt:
        """Raises ValueError for a duplicate under the policy "error"."""
        return self.add(prompt)

    def add_prompt_from_fn(self, fn: Callable[..., Any], name: str | None = None, **options: Any) -> Prompt:
        return self.add(Prompt.from_function(fn, name, **options))

    async def has_prompt(self, key: str) -> bool:
        return key in self

    async def get_prompt(self, key: str) -> Prompt:
        """Raises NotFoundError for an unknown prompt."""
        prompt = self.get(key)
        if prompt is None:
            raise NotFoundError(f"Unknown prompt: {key}")
        return prompt

    async def get_prompts(self) -> dict[str, Prompt]:
        """Prompts by name, each in its highest version."""
        return {prompt.name: prompt for prompt in self.shown()}

    async def render_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Raises NotFoundError, ValidationError, and what the prompt raises."""
        return await (await self.get_prompt(name)).render(arguments)
