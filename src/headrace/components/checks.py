"""Checks of components: who may see and use a tool, a resource, a template or a prompt.

``@mcp.tool(auth=require_scopes("admin"))``; own functions take an `AuthContext` and answer a bool, async or not. All
checks of a component must pass. One that raises refuses: `AuthorizationError` with its text, anything else is logged.
Over stdio nothing is checked: there the client is who started the server.

What a caller may not use is to it as if it were not there, with one exception: where nothing but scopes is missing, a
call is refused with what would do, so that the client can ask for it (2026-07-28, Authorization, Scope Challenge
Handling).
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..exceptions import AuthorizationError, InsufficientScopeError
from ..redaction import log_failure

if TYPE_CHECKING:
    from ..call import Call
    from .component import Component

__all__ = [
    "AuthCheck",
    "AuthContext",
    "allowed_to",
    "as_checks",
    "permitted",
    "require_roles",
    "require_scopes",
    "restrict_tag",
    "run_auth_checks",
]

C = TypeVar("C", bound="Component")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuthContext:
    """What a check decides by: the caller's access token (None where nobody authenticated), and the component."""

    token: Any
    component: Component

    @property
    def tool(self) -> Any:
        """The component if it is a tool, else None."""
        return self.component if self.component.kind == "tool" else None


AuthCheck = Callable[[AuthContext], bool | Awaitable[bool]]


class _Scopes:
    """A check of scopes: it can say what would satisfy it."""

    def __init__(self, scopes: Iterable[str], tag: str | None = None) -> None:
        self.scopes = tuple(dict.fromkeys(scopes))
        self._tag = tag

    def __call__(self, context: AuthContext) -> bool:
        needed = self.needed(context.component)
        return not needed or (context.token is not None and set(needed) <= set(context.token.scopes))

    def needed(self, component: Component) -> tuple[str, ...]:
        return self.scopes if self._tag is None or self._tag in component.tags else ()


def require_scopes(*scopes: str) -> AuthCheck:
    """The token has all of these scopes, as they are written: a scope that implies others (``admin``, ``read``) is
    the affair of the provider, which can put what is implied into `AccessToken.scopes`.

    Raises ValueError without a scope, which would let everybody in who has a token.
    """
    if not scopes:
        raise ValueError('require_scopes() needs a scope, as in require_scopes("admin")')
    return _Scopes(scopes)


def restrict_tag(tag: str, *, scopes: Iterable[str]) -> AuthCheck:
    """`require_scopes` for components that have the tag; others pass."""
    if isinstance(scopes, str):
        raise TypeError(f"scopes is a list of strings, not one string: [{scopes!r}]")
    return _Scopes(scopes, tag)


def require_roles(*roles: str, extract: Callable[[dict[str, Any]], Iterable[str]]) -> AuthCheck:
    """The token's claims name all of these roles; `extract` reads them, since every provider puts them elsewhere:
    ``lambda claims: claims["realm_access"]["roles"]``.

    Claims that `extract` does not find (KeyError, IndexError, TypeError) are no roles; one string is one role. Raises
    ValueError without a role.
    """
    if not roles:
        raise ValueError('require_roles() needs a role, as in require_roles("admin", extract=...)')

    def check(context: AuthContext) -> bool:
        if context.token is None:
            return False
        try:
            found = extract(context.token.claims)
            has = {found} if isinstance(found, str) else set(found)
        except (KeyError, IndexError, TypeError):
            return False
        return has.issuperset(roles)

    return check


async def run_auth_checks(checks: AuthCheck | Sequence[AuthCheck], context: AuthContext) -> bool:
    """Whether all checks pass; the first that does not ends it. Raises AuthorizationError where a check does."""
    for check in as_checks(checks):
        if not await _passes(check, context):
            return False
    return True


def as_checks(checks: AuthCheck | Sequence[AuthCheck] | None) -> tuple[AuthCheck, ...]:
    """What users give as ``auth=``: a check, several, or None. Raises TypeError for anything else."""
    if checks is None:
        return ()
    found = cast("Sequence[AuthCheck]", checks if isinstance(checks, list | tuple) else (checks,))
    for each in found:
        if not callable(each):
            raise TypeError(f"auth= takes checks, functions of an AuthContext, not {each!r}")
    return tuple(found)


async def permitted(candidates: Iterable[C], call: Call) -> C | None:
    """The first of the candidates that the caller may use; None where it may use none.

    Raises InsufficientScopeError where more scopes would open the first that only scopes close, and
    AuthorizationError where a check raised it.
    """
    refusal: AuthorizationError | None = None
    for each in candidates:
        try:
            if await _allows(each, call):
                return each
        except AuthorizationError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return None


async def allowed_to(call: Call, components: Iterable[Component]) -> frozenset[Component]:
    """Those of the components that the caller may see."""
    allowed: list[Component] = []
    for each in components:
        with contextlib.suppress(AuthorizationError):
            if await _allows(each, call):
                allowed.append(each)
    return frozenset(allowed)


async def _allows(component: Component, call: Call) -> bool:
    """Raises InsufficientScopeError where scopes are all that is missing."""
    if not component.checks or call.peer.transport == "stdio":
        return True
    context = AuthContext(None if call.principal is None else call.principal.token, component)
    missing: list[str] = []
    for check in component.checks:
        if await _passes(check, context):
            continue
        if not isinstance(check, _Scopes) or context.token is None:
            return False  # what else is needed is told to nobody who would be refused anyway
        missing += check.needed(component)
    if not missing:
        return True
    # All scopes of the component, so that one round of authorization is enough.
    scopes = [scope for check in component.checks if isinstance(check, _Scopes) for scope in check.needed(component)]
    raise InsufficientScopeError(list(dict.fromkeys(scopes)))


async def _passes(check: AuthCheck, context: AuthContext) -> bool:
    try:
        passes: Any = check(context)
        return bool(await passes if inspect.isawaitable(passes) else passes)
    except AuthorizationError:
        raise
    except Exception as error:
        secrets = [str(getattr(context.token, "token", ""))]
        log_failure(logger, error, secrets, "A check of %r failed, which refuses", context.component)
        return False
