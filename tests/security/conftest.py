"""Fixtures of the security tests."""

from ..http.conftest import http

__all__ = ["http"]
