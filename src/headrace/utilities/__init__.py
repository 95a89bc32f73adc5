"""What users import from ``headrace.utilities``: the names of other rooms, at the paths they know."""

from __future__ import annotations

__all__: list[str] = []
