"""What a running function can ask for, at the path where users import it."""

from __future__ import annotations

from ..components.dependencies import get_access_token, get_context, get_http_headers, get_http_request

__all__ = ["get_access_token", "get_context", "get_http_headers", "get_http_request"]
