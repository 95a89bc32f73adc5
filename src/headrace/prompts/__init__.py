"""Prompts: messages that a user picks."""

from __future__ import annotations

from ..types import Message, PromptResult
from .prompt import Prompt

__all__ = ["Message", "Prompt", "PromptResult"]
