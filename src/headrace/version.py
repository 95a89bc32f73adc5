"""The version of the package: a constant, since looking it up among what is installed is slow."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
