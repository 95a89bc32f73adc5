"""The figures that are not requests per second: clients, starts, memory, open streams (``--measures``)."""

from __future__ import annotations

from .figures import Figure, Goal, Measure, Quantity
from .running import MEASURES, run

__all__ = ["MEASURES", "Figure", "Goal", "Measure", "Quantity", "run"]
