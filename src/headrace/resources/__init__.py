"""Resources: what a client reads by URI."""

from __future__ import annotations

from ..types import ResourceContent, ResourceContents, ResourceResult
from .resource import Resource
from .template import ResourceTemplate

__all__ = ["Resource", "ResourceContent", "ResourceContents", "ResourceResult", "ResourceTemplate"]
