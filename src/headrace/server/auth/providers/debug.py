"""A function that says which tokens are good."""

from __future__ import annotations

from ..verifiers import DebugTokenVerifier

__all__ = ["DebugTokenVerifier"]
