"""The HTTP bindings: Streamable HTTP of every revision on one path, HTTP+SSE beside it."""

__all__: list[str] = []
