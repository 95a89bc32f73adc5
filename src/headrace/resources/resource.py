"""A resource: a URI and what reads it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from ..components.checks import AuthCheck
from ..components.component import Component, struct
from ..components.context import Context
from ..components.dependencies import current, get_context
from ..components.signature import Function, function_name
from ..components.visibility import Kind
from ..exceptions import InvalidSignature
from ..protocol import types as wire
from ..protocol.types import Annotations, Icon, InputRequiredResult, ReadResourceResult
from .results import guess_mime_type, read_result

__all__ = ["FunctionResource", "Resource", "caller_context", "check_uri", "described"]


class Resource(Component):
    """One resource; a subclass says in `read` what it holds. Without a name it is named by its URI."""

    kind: ClassVar[Kind] = "resource"

    def __init__(
        self,
        uri: str,
        name: str | None = None,
        *,
        mime_type: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        size: int | None = None,
        **component: Any,
    ) -> None:
        """`size` is in bytes. Raises ValueError for a URI without a scheme."""
        self.uri = str(uri)
        check_uri(self.uri)
        super().__init__(name or self.uri, **component)
        self.mime_type = mime_type
        self.annotations = struct(annotations, Annotations)
        self.size = size

    @staticmethod
    def from_function(
        fn: Callable[..., Any],
        uri: str,
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        mime_type: str | None = None,
        tags: set[str] | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        size: int | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        version: str | float | None = None,
        auth: AuthCheck | Sequence[AuthCheck] | None = None,
        run_in_thread: bool = True,
    ) -> FunctionResource:
        """A resource from a function. Raises InvalidSignature or ValueError for what can't be one."""
        return FunctionResource(
            uri,
            Function(fn, f"resource {str(uri)!r}", run_in_thread=run_in_thread),
            name or function_name(fn, "resource"),
            mime_type=mime_type,
            annotations=annotations,
            size=size,
            title=title,
            description=described(fn, description),
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
            version=version,
            auth=auth,
        )

    @property
    def identifier(self) -> str:
        return self.uri

    async def read(self) -> Any:
        """What the resource holds: text, bytes, a ResourceResult, or any value that a function may return."""
        raise NotImplementedError(f"{type(self).__name__} has to define read()")

    async def answer(self, context: Context) -> ReadResourceResult | InputRequiredResult:
        """The answer to a client."""
        return read_result(await self.read(), self.uri, self.mime_type, self.meta)

    def to_wire(self) -> wire.Resource:
        """The resource as lists show it."""
        return wire.Resource(
            uri=self.uri,
            name=self.name,
            title=self.title,
            description=self.description,
            mime_type=self.mime_type or self.expected_mime_type(),
            size=self.size,
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )

    to_mcp_resource = to_wire

    def expected_mime_type(self) -> str | None:
        """The MIME type of what is read, where it is known though nobody said it."""
        return None


class FunctionResource(Resource):
    """A resource that is a function; `fn` is the function.

    `mime_type` None: as the return annotation says, and each value if it says nothing.
    """

    def __init__(self, uri: str, function: Function, name: str | None = None, **resource: Any) -> None:
        """Raises InvalidSignature for a function that needs arguments."""
        super().__init__(uri, name, **resource)
        self.function = function
        self.fn = function.function
        if function.required:
            raise InvalidSignature(
                f"The resource {self.uri!r} has no {{parameters}} in its URI, but its function needs "
                f"{', '.join(sorted(function.required))}"
            )

    async def read(self) -> Any:
        """Call the function yourself. Raises RuntimeError outside of a call, if it needs a context."""
        return await self._value(caller_context(self.function))

    async def answer(self, context: Context) -> ReadResourceResult | InputRequiredResult:
        return read_result(await self._value(context), self.uri, self.mime_type, self.meta)

    async def _value(self, context: Context) -> Any:
        value = await self.function.call({}, context)
        while isinstance(value, Resource):  # a function may choose one of several resources
            value = await value.read()
        return value

    def expected_mime_type(self) -> str | None:
        return guess_mime_type(self.function.returns)


def caller_context(function: Function) -> Context:
    """The context of the running call. Raises RuntimeError outside of one, if the function needs it."""
    return get_context() if function.wants_context else cast(Context, current.get(None))


def check_uri(uri: str) -> None:
    """Raises ValueError for a URI without a scheme."""
    if not urlsplit(uri.partition("{")[0]).scheme:
        raise ValueError(f"A resource is registered by a URI with a scheme, as in 'data://config', not {uri!r}")


def described(function: Callable[..., Any], description: str | None) -> str | None:
    """The given description, else the function's docstring."""
    if description is not None:
        return description
    return inspect.getdoc(function) if getattr(function, "__name__", None) else None
