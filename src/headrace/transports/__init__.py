"""Carries messages between a client and whatever serves them."""

__all__: list[str] = []
