"""Functions as resources: as a template if the URI has parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..components.standalone import Pending, mark
from ..components.uri_template import UriTemplate
from .resource import Resource
from .security import DEFAULT_RESOURCE_SECURITY
from .template import ResourceTemplate

__all__ = ["resource", "resource_or_template"]

F = TypeVar("F", bound=Callable[..., Any])


def resource_or_template(
    fn: Callable[..., Any], uri: str, name: str | None = None, **options: Any
) -> Resource | ResourceTemplate:
    """What the function becomes; options are those of the two `from_function`. Raises InvalidSignature, ValueError."""
    uri = str(uri)
    if UriTemplate(uri).names:
        return ResourceTemplate.from_function(fn, uri, name, **options)
    # Whoever writes a resource need not know that only templates have something to check.
    options.pop("security", DEFAULT_RESOURCE_SECURITY)
    return Resource.from_function(fn, uri, name, **options)


def resource(uri: str, **options: Any) -> Callable[[F], F]:
    """Mark a function as a resource that ``mcp.add_resource(function)`` registers later; as for ``@mcp.resource``."""
    if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a bare decorator
        raise TypeError('@resource needs a URI: @resource("data://config")')
    kind = "template" if UriTemplate(uri).names else "resource"

    def register(function: F) -> F:
        return mark(function, Pending(kind, lambda target: resource_or_template(target, uri, **options)))

    return register
