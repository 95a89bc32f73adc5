"""What outlives a request: contracts, and the backends that keep them."""

__all__: list[str] = []
