"""`combine_lifespans` at the path where users import it."""

from __future__ import annotations

from ..server.http import combine_lifespans

__all__ = ["combine_lifespans"]
