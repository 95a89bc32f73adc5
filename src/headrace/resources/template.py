"""A resource template: a URI with parameters and the function that reads what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..components.component import Component, described, struct
from ..components.context import Context
from ..components.signature import Function, function_name
from ..components.uri_template import UriTemplate
from ..exceptions import InvalidSignature
from ..protocol import types as wire
from ..protocol.types import Annotations, Icon, InputRequiredResult, ReadResourceResult
from .resource import check_uri, guess_mime_type, read_result

__all__ = ["ResourceTemplate"]


class ResourceTemplate(Component):
    """One template. Values from the URI are text; the function's annotations say what they become."""

    def __init__(
        self,
        uri_template: str,
        function: Function,
        name: str,
        *,
        mime_type: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        **component: Any,
    ) -> None:
        """Raises InvalidSignature where the URI's parameters and the function's do not agree."""
        super().__init__(name, **component)
        check_uri(uri_template)
        self.uri_template = uri_template
        self.template = UriTemplate(uri_template)
        self.function = function
        self.mime_type = mime_type
        self.annotations = struct(annotations, Annotations)
        self._check_parameters()

    def _check_parameters(self) -> None:
        function, template = self.function, self.template
        unknown = set(template.names) - set(function.parameters)
        if unknown:
            raise InvalidSignature(
                f"The template {self.uri_template!r} has parameters that its function has not: {_listed(unknown)}"
            )
        missing = function.required - set(template.path_names)
        if missing:
            raise InvalidSignature(
                f"The function of the template {self.uri_template!r} needs {_listed(missing)}: name them in the "
                "path of the URI, or give them defaults (parameters of the query are optional)"
            )

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        uri_template: str,
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        mime_type: str | None = None,
        tags: set[str] | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        run_in_thread: bool = True,
    ) -> ResourceTemplate:
        """Raises InvalidSignature or ValueError for what can't be a template."""
        return cls(
            uri_template,
            Function(function, f"template {uri_template!r}", run_in_thread=run_in_thread),
            name or function_name(function, "resource"),
            mime_type=mime_type,
            annotations=annotations,
            title=title,
            description=described(function, description),
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
        )

    def match(self, uri: str) -> dict[str, str] | None:
        """The parameters of a URI of this template, or None."""
        return self.template.match(uri)

    def bind(self, values: dict[str, str]) -> dict[str, Any]:
        """Keyword arguments from the values in a URI. Raises ValidationError."""
        return self.function.bind_values(values)

    async def read(
        self, uri: str, arguments: dict[str, Any], context: Context
    ) -> ReadResourceResult | InputRequiredResult:
        value = await self.function.call(arguments, context)
        return read_result(value, uri, self.mime_type)

    def to_wire(self) -> wire.ResourceTemplate:
        """The template as lists show it."""
        return wire.ResourceTemplate(
            uri_template=self.uri_template,
            name=self.name,
            title=self.title,
            description=self.description,
            mime_type=self.mime_type or guess_mime_type(self.function.returns),
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
