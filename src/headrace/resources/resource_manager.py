"""The resources and templates of a server: registered by URI, found by URI."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..components.checks import permitted
from ..components.context import Context
from ..components.registry import OnDuplicate, Registry
from ..components.versions import VersionSpec
from ..components.visibility import Rule, shown
from ..exceptions import AuthorizationError, FastMCPError, InvalidParams, NotFoundError, ResourceError, ValidationError
from ..protocol.types import InputRequiredResult, ReadResourceResult
from ..redaction import without_query
from .decorator import resource_or_template
from .resource import Resource
from .results import read_result, resource_result
from .security import DEFAULT_RESOURCE_SECURITY, ResourceSecurity
from .template import ResourceTemplate

__all__ = ["ResourceManager"]

logger = logging.getLogger(__name__)

Found = Resource | tuple[ResourceTemplate, dict[str, Any]]
"""A resource, or a template with the values in a URI."""


class ResourceManager:
    """Two registries, and what a URI means in them: a resource first, else the first template that matches."""

    def __init__(
        self,
        duplicate_behavior: OnDuplicate | None = None,
        mask_error_details: bool | None = None,
        *,
        security: ResourceSecurity | None = DEFAULT_RESOURCE_SECURITY,
        changed: Callable[[], None] | None = None,
    ) -> None:
        """`security` is for templates without a policy of their own; `changed` is called after every change."""
        policy = duplicate_behavior or "warn"
        self.resources: Registry[Resource] = Registry("resource", policy, changed)
        self.templates: Registry[ResourceTemplate] = Registry("template", policy, changed)
        self.mask_error_details = mask_error_details
        self.security = security

    # What a URI means

    def find(self, uri: str, rules: Sequence[Rule] = (), version: VersionSpec | None = None) -> Found | None:
        """The shown resource of this URI, or the template it belongs to with the values in it."""
        resource = self.resources.find(uri, rules, version)
        if resource is not None:
            return resource
        for template in self.templates:
            if shown(template, rules) and (version is None or version.matches(template.version)):
                values = template.match(uri, self.security)
                if values is not None:
                    return template, values
        return None

    async def permitted(
        self, uri: str, context: Context, rules: Sequence[Rule] = (), version: VersionSpec | None = None
    ) -> Found:
        """What `find` finds, or the version of it that the caller may use.

        Raises NotFoundError, AuthorizationError. Who is refused a resource does not get it from a template, either.
        """
        found: Found | None = self.find(uri, rules, version)
        if isinstance(found, Resource):
            if found.guarded:
                found = await permitted(self.resources.candidates(uri, rules, version), context.call)
        elif found is not None and found[0].guarded:
            versions = self.templates.candidates(found[0].identifier, rules, version)
            template = await permitted(versions, context.call)
            values = None if template is None else template.match(uri, self.security)
            found = None if template is None or values is None else (template, values)
        if found is None:
            raise NotFoundError(f"Resource not found: {uri}", uri=uri)
        return found

    async def check_named(self, uri: str, context: Context, rules: Sequence[Rule]) -> None:
        """A template by itself, or what a URI means, for the caller. Raises NotFoundError, AuthorizationError."""
        if await permitted(self.templates.candidates(uri, rules), context.call) is None:
            await self.permitted(uri, context, rules)

    async def check_watched(self, uri: str, context: Context, rules: Sequence[Rule]) -> None:
        """Raises NotFoundError, AuthorizationError for what the caller may not hear of.

        Where everybody may read everything, also what is not there yet may be watched; else it would tell what is.
        """
        if self.resources.checked or self.templates.checked:
            await self.permitted(uri, context, rules)

    async def watched(self, uris: list[str], context: Context, rules: Sequence[Rule]) -> list[str]:
        """Those of the URIs that `check_watched` lets pass."""
        passed: list[str] = []
        for uri in uris:
            with contextlib.suppress(NotFoundError, AuthorizationError):
                await self.check_watched(uri, context, rules)
                passed.append(uri)
        return passed

    async def answer(
        self, uri: str, context: Context, rules: Sequence[Rule] = (), version: VersionSpec | None = None
    ) -> ReadResourceResult | InputRequiredResult:
        """The answer to a client.

        Raises NotFoundError, AuthorizationError, InvalidParams for values in the URI that do not fit, and what the
        user's function raises.
        """
        found = await self.permitted(uri, context, rules, version)
        if isinstance(found, Resource):
            return await found.answer(context)
        template, values = found
        try:
            arguments = template.bind(values)
        except ValidationError as error:
            raise InvalidParams(str(error)) from None
        return await template.answer(uri, arguments, context)

    # What FastMCP's users know

    def add_resource(self, resource: Resource) -> Resource:
        """Raises ValueError for a duplicate under the policy "error"."""
        return self.resources.add(resource)

    def add_template(self, template: ResourceTemplate) -> ResourceTemplate:
        """Raises ValueError for a duplicate under the policy "error"."""
        return self.templates.add(template)

    def add_resource_or_template_from_fn(
        self, fn: Callable[..., Any], uri: str, name: str | None = None, **options: Any
    ) -> Resource | ResourceTemplate:
        """Register a function, as a template if the URI has parameters. Raises InvalidSignature, ValueError."""
        made = resource_or_template(fn, uri, name, **options)
        return self.add_template(made) if isinstance(made, ResourceTemplate) else self.add_resource(made)

    async def get_resources(self) -> dict[str, Resource]:
        """Resources by URI, each in its highest version."""
        return {resource.uri: resource for resource in self.resources.shown()}

    async def get_resource_templates(self) -> dict[str, ResourceTemplate]:
        """Templates by URI template, each in its highest version."""
        return {template.uri_template: template for template in self.templates.shown()}

    async def has_resource(self, uri: str) -> bool:
        """Whether the URI can be read."""
        return self.find(str(uri)) is not None

    async def get_resource(self, uri: str) -> Resource:
        """The resource of a URI; a new one where a template stands for it. Raises NotFoundError, ValidationError."""
        uri = str(uri)
        found = self.find(uri)
        if found is None:
            raise NotFoundError(f"Resource not found: {uri}", uri=uri)
        if isinstance(found, Resource):
            return found
        template, values = found
        return await template.create_resource(uri, values)

    async def read_resource(self, uri: str) -> Any:
        """Read one yourself: text or bytes; a ResourceResult where it has several parts.

        Raises NotFoundError, ValidationError, and ResourceError for what the function raises.
        """
        uri = str(uri)
        resource = await self.get_resource(uri)
        try:
            answer = read_result(await resource.read(), uri, resource.mime_type)
        except FastMCPError:
            raise
        except Exception as error:
            logger.exception("Error reading resource %r", without_query(uri))
            detail = "" if self.mask_error_details else f": {error}"
            raise ResourceError(f"Error reading resource {uri!r}{detail}") from error
        if isinstance(answer, InputRequiredResult):
            raise ResourceError(f"The resource {uri!r} asks the client for input, which only a call to a server can")
        result = resource_result(answer)
        return result.contents[0].content if len(result.contents) == 1 else result
