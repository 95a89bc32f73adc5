"""What a measure is, the quantities it reads, and what was read of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .processes import Setting

__all__ = ["Figure", "Goal", "Measure", "Quantity"]

OWN = "headrace"


@dataclass(frozen=True)
class Goal:
    bound: float
    against: str | None = None
    """None: Headrace's own value meets the bound; else its ratio to the value of this contender."""
    judged: bool = True
    """Whether it is a row of the table that judges a run; else it is there to be looked at."""


@dataclass(frozen=True)
class Quantity:
    """One number that a measure reads."""

    name: str
    title: str
    unit: str
    more: bool = False
    """Whether more is better."""
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Measure:
    """`take` reads each quantity once, of one contender, in processes of their own. It raises Wrong where the
    contender does not answer rightly."""

    name: str
    quantities: tuple[Quantity, ...]
    contenders: tuple[str, ...]
    take: Callable[[Setting, str], dict[str, float]]
    rounds: tuple[int, int] = (3, 2)
    """How often, in a full and in a quick run."""
    untimed: int = 0
    """Rounds before them that do not count."""

    @property
    def judged(self) -> bool:
        return any(goal.judged for quantity in self.quantities for goal in quantity.goals)


@dataclass
class Figure:
    """One quantity, as it was read of each contender; `wrong`: who could not be measured, and why."""

    measure: Measure
    quantity: Quantity
    readings: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    wrong: dict[str, str] = field(default_factory=dict[str, str])

    def value(self, contender: str) -> float | None:
        """The median; None where there is none."""
        readings = self.readings.get(contender)
        return None if contender in self.wrong or not readings else median(readings)

    def measured(self, goal: Goal) -> float | None:
        """What is held against the bound."""
        own = self.value(OWN)
        if goal.against is None:
            return own
        other = self.value(goal.against)
        return None if own is None or not other else own / other

    def met(self, goal: Goal) -> bool | None:
        """None where it was not measured."""
        value = self.measured(goal)
        if value is None:
            return None
        return value >= goal.bound if self.quantity.more else value <= goal.bound

    def as_json(self) -> dict[str, Any]:
        values = {contender: self.value(contender) for contender in self.readings}
        return {
            "measure": self.measure.name,
            "quantity": self.quantity.name,
            "title": self.quantity.title,
            "unit": self.quantity.unit,
            "better": "more" if self.quantity.more else "less",
            "medians": {name: value for name, value in values.items() if value is not None},
            "runs": self.readings,
            "wrong": self.wrong,
        }
