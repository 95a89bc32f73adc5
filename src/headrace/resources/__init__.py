"""Resources: what a client reads by URI."""

from __future__ import annotations

from ..types import ResourceContent, ResourceContents, ResourceResult
from .resource import FunctionResource, Resource
from .resource_manager import ResourceManager
from .security import ResourceSecurity
from .template import FunctionResourceTemplate, ResourceTemplate
from .types import BinaryResource, DirectoryResource, FileResource, HttpResource, TextResource

# Last: the decorator takes the name of the module, which stays importable as headrace.resources.resource.
from .decorator import resource  # isort: skip

__all__ = [
    "BinaryResource",
    "DirectoryResource",
    "FileResource",
    "FunctionResource",
    "FunctionResourceTemplate",
    "HttpResource",
    "Resource",
    "ResourceContent",
    "ResourceContents",
    "ResourceManager",
    "ResourceResult",
    "ResourceSecurity",
    "ResourceTemplate",
    "TextResource",
    "resource",
]
