"""Prompts: messages that a user picks."""

from __future__ import annotations

from ..types import Message, PromptResult
from .prompt import FunctionPrompt, Prompt, prompt

__all__ = ["FunctionPrompt", "Message", "Prompt", "PromptResult", "prompt"]
