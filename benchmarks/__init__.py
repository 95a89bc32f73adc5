"""Side by side in one run: the bare ASGI server, Headrace and its peers (``python -m benchmarks --help``)."""

from __future__ import annotations

__all__: list[str] = []
