"""What `Context.elicit` answers, at the path where users import it."""

from __future__ import annotations

from ..components.elicitation import AcceptedElicitation, CancelledElicitation, DeclinedElicitation

__all__ = ["AcceptedElicitation", "CancelledElicitation", "DeclinedElicitation"]
