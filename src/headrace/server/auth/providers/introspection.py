"""RFC 7662; see `headrace.server.auth.introspection`."""

from __future__ import annotations

from ..introspection import IntrospectionTokenVerifier

__all__ = ["IntrospectionTokenVerifier"]
