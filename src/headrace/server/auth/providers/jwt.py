"""JWTs; see `headrace.server.auth.jwt`."""

from __future__ import annotations

from ..jwt import JWTVerifier
from ..keys import RSAKeyPair
from ..verifiers import StaticTokenVerifier

__all__ = ["JWTVerifier", "RSAKeyPair", "StaticTokenVerifier"]
