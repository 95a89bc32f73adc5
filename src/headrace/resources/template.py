"""A resource template: a URI with parameters and what reads the resources it stands for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ..components.checks import AuthCheck
from ..components.component import Component, struct
from ..components.context import Context
from ..components.signature import Function, function_name
from ..components.uri_template import UriTemplate
from ..components.visibility import Kind
from ..exceptions import InvalidSignature
from ..protocol import types as wire
from ..protocol.types import Annotations, Icon, InputRequiredResult, ReadResourceResult
from .resource import Resource, caller_context, check_uri, described
from .results import guess_mime_type, read_result
from .security import DEFAULT_RESOURCE_SECURITY, ResourceSecurity

__all__ = ["FunctionResourceTemplate", "ResourceTemplate"]

logger = logging.getLogger(__name__)


class ResourceTemplate(Component):
    """One template; a subclass says in `read` what the resources hold.

    The router takes three steps, to tell whose fault an error is: `match`, `bind`, `answer`.
    """

    kind: ClassVar[Kind] = "template"

    def __init__(
        self,
        uri_template: str,
        name: str | None = None,
        *,
        mime_type: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        security: ResourceSecurity | None = DEFAULT_RESOURCE_SECURITY,
        **component: Any,
    ) -> None:
        """`security` None: values are not checked. Raises ValueError for a URI template that is none."""
        check_uri(uri_template)
        self.uri_template = uri_template
        self.template = UriTemplate(uri_template)
        super().__init__(name or uri_template, **component)
        self.mime_type = mime_type
        self.annotations = struct(annotations, Annotations)
        self.security = security

    @staticmethod
    def from_function(
        fn: Callable[..., Any],
        uri_template: str,
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        mime_type: str | None = None,
        tags: set[str] | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        security: ResourceSecurity | None = DEFAULT_RESOURCE_SECURITY,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        version: str | float | None = None,
        auth: AuthCheck | Sequence[AuthCheck] | None = None,
        run_in_thread: bool = True,
    ) -> FunctionResourceTemplate:
        """A template from a function. Raises InvalidSignature or ValueError for what can't be one."""
        return FunctionResourceTemplate(
            uri_template,
            Function(
                fn, f"template {uri_template!r}", run_in_thread=run_in_thread, extra=UriTemplate(uri_template).names
            ),
            name or function_name(fn, "resource"),
            mime_type=mime_type,
            annotations=annotations,
            security=security,
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
        return self.uri_template

    def match(self, uri: str, default: ResourceSecurity | None = DEFAULT_RESOURCE_SECURITY) -> dict[str, Any] | None:
        """The parameters of a URI of this template, or None: also for values that are refused.

        `default` is the server's policy, for templates without one of their own.
        """
        values = self.template.match(uri)
        policy = default if self.security is DEFAULT_RESOURCE_SECURITY else self.security
        if values is None or policy is None:
            return values
        refused = policy.validate(values, self.template.segment_names)
        if refused is None:
            return values
        logger.debug("The template %r refuses the value of %r", self.uri_template, refused)
        return None

    matches = match

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of `read` from the values in a URI. Raises ValidationError."""
        return dict(values)

    async def read(self, arguments: dict[str, Any]) -> Any:
        """What a resource holds: text, bytes, a ResourceResult, or any value that a function may return."""
        raise NotImplementedError(f"{type(self).__name__} has to define read()")

    async def answer(
        self, uri: str, arguments: dict[str, Any], context: Context
    ) -> ReadResourceResult | InputRequiredResult:
        """The answer to a client; `arguments` are bound."""
        return read_result(await self.read(arguments), uri, self.mime_type, self.meta)

    async def create_resource(self, uri: str, params: Mapping[str, Any]) -> Resource:
        """The resource of a URI with these parameters. Raises ValidationError."""
        return _Templated(self, uri, params)

    def to_wire(self) -> wire.ResourceTemplate:
        """The template as lists show it."""
        return wire.ResourceTemplate(
            uri_template=self.uri_template,
            name=self.name,
            title=self.title,
            description=self.description,
            mime_type=self.mime_type or self.expected_mime_type(),
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )

    to_mcp_template = to_wire

    def expected_mime_type(self) -> str | None:
        """The MIME type of what is read, where it is known though nobody said it."""
        return None


class FunctionResourceTemplate(ResourceTemplate):
    """A template that is a function; `fn` is the function.

    Values from the URI are text; the function's annotations say what they become.
    """

    def __init__(self, uri_template: str, function: Function, name: str | None = None, **template: Any) -> None:
        """Raises InvalidSignature where the URI's parameters and the function's do not agree."""
        super().__init__(uri_template, name, **template)
        self.function = function
        self.fn = function.function
        unknown = set(self.template.names) - set(function.parameters)
        if unknown:
            raise InvalidSignature(
                f"The template {uri_template!r} has parameters that its function has not: {_listed(unknown)}"
            )
        missing = function.required - set(self.template.path_names)
        if missing:
            raise InvalidSignature(
                f"The function of the template {uri_template!r} needs {_listed(missing)}: name them in the "
                "path of the URI, or give them defaults (parameters of the query are optional)"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the function's parameters."""
        return self.function.schema

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return self.function.bind_values(values)

    async def read(self, arguments: dict[str, Any]) -> Any:
        """Call the function yourself, with values as in a URI.

        Raises ValidationError, and RuntimeError outside of a call if the function needs a context.
        """
        return await self._value(self.bind(arguments), caller_context(self.function))

    async def answer(
        self, uri: str, arguments: dict[str, Any], context: Context
    ) -> ReadResourceResult | InputRequiredResult:
        return read_result(await self._value(arguments, context), uri, self.mime_type, self.meta)

    async def _value(self, arguments: dict[str, Any], context: Context) -> Any:
        value = await self.function.call(arguments, context)
        while isinstance(value, Resource):
            value = await value.read()
        return value

    def expected_mime_type(self) -> str | None:
        return guess_mime_type(self.function.returns)


class _Templated(Resource):
    """One resource of a template."""

    def __init__(self, template: ResourceTemplate, uri: str, params: Mapping[str, Any]) -> None:
        super().__init__(
            uri,
            template.name,
            mime_type=template.mime_type,
            annotations=template.annotations,
            title=template.title,
            description=template.description,
            icons=template.icons,
            tags=template.tags,
            meta=template.meta,
            enabled=template.enabled,
            version=template.version,
            auth=template.checks,
        )
        self._template = template
        self._params = dict(params)
        self._arguments = template.bind(params)

    async def read(self) -> Any:
        return await self._template.read(self._params)

    async def answer(self, context: Context) -> ReadResourceResult | InputRequiredResult:
        return await self._template.answer(self.uri, dict(self._arguments), context)

    def expected_mime_type(self) -> str | None:
        return self._template.expected_mime_type()


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
