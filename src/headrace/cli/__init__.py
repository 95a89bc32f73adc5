"""The ``headrace`` command."""

from __future__ import annotations

from .cli import app, main

__all__ = ["app", "main"]
