"""Checks of components, at the path where users import them."""

from __future__ import annotations

from ..components.checks import (
    AuthCheck,
    AuthContext,
    require_roles,
    require_scopes,
    restrict_tag,
    run_auth_checks,
)

__all__ = ["AuthCheck", "AuthContext", "require_roles", "require_scopes", "restrict_tag", "run_auth_checks"]
