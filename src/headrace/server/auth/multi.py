"""MultiAuth: tokens of several verifiers, behind the routes of one provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.routing import Route

from .provider import AccessToken, AuthProvider

if TYPE_CHECKING:
    from .dpop import DPoP

__all__ = ["MultiAuth"]


class MultiAuth(AuthProvider):
    """The first that accepts a token vouches for it: `server`, then each of `verifiers`, which may have names.

    Routes and challenges are those of the server. Each verifier's own `required_scopes` hold for its tokens. One that
    fails inside lets nobody in: the next is asked, and if none accepts the token the failure is raised (503). Users of
    one verifier are never those of another, whatever their tokens say. `dpop` without one: the strictest of theirs.
    Raises ValueError without any of them.
    """

    def __init__(
        self,
        *,
        server: AuthProvider | None = None,
        verifiers: Mapping[str, AuthProvider] | Sequence[AuthProvider] | AuthProvider | None = None,
        server_source_id: str | None = None,
        base_url: str | None = None,
        resource_base_url: str | None = None,
        required_scopes: Iterable[str] | None = None,
        dpop: str | DPoP = "off",
    ) -> None:
        if required_scopes is None and server is not None:
            required_scopes = server.required_scopes
        super().__init__(base_url, required_scopes, resource_base_url=resource_base_url, dpop=dpop)
        self.server = server
        self.sources: dict[str, AuthProvider] = {} if server is None else {server_source_id or "server": server}
        if isinstance(verifiers, AuthProvider):
            verifiers = [verifiers]
        named = verifiers if isinstance(verifiers, Mapping) else {str(at): it for at, it in enumerate(verifiers or ())}
        if not self.sources and not named:
            raise ValueError("MultiAuth needs a server or a verifier")
        if not self.sources.keys().isdisjoint(named) or "" in named:
            raise ValueError("The sources of MultiAuth need names of their own")
        self.sources.update(named)
        for source in self.sources.values():
            source.within.append(self)
        self.cache_seconds = min(each.cache_seconds for each in self.sources.values())
        if server is not None:
            self._follow(server)
        # What one demands holds for all: it must not be lost.
        checks = [each.dpop for each in self.sources.values() if each.dpop is not None]
        self.dpop = self.dpop or next((each for each in checks if each.required), checks[0] if checks else None)

    def _follow(self, server: AuthProvider) -> None:
        """Raises ValueError where the server's routes would name another resource than this checks."""
        for name in ("base_url", "resource_base_url"):
            own = getattr(self, name)
            if own not in (None, getattr(server, name)):
                raise ValueError(f"Give {name} to the server of MultiAuth alone: its routes name the resource")
            setattr(self, name, getattr(server, name))

    async def verify_token(self, token: str) -> AccessToken | None:
        failure: Exception | None = None
        for name, source in self.sources.items():
            try:
                access = await source.verify_token(token)
            except Exception as error:
                failure = failure or error
                continue
            # What is required of all is checked at the door, with a challenge.
            own = [scope for scope in source.required_scopes if scope not in self.required_scopes]
            if access is not None and source.is_live(access) and all(scope in access.scopes for scope in own):
                return replace(access, source=f"{name} {access.source}".rstrip())
        if failure is not None:
            raise failure
        return None

    def check_resource(self, resource: str | None) -> None:
        for source in self.sources.values():
            source.check_resource(resource)

    def get_challenge_scopes(self, required_scopes: Sequence[str] | None = None) -> list[str]:
        only = self.server or (next(iter(self.sources.values())) if len(self.sources) == 1 else None)
        scopes = self.required_scopes if required_scopes is None else required_scopes
        return list(scopes) if only is None else only.get_challenge_scopes(scopes)

    def metadata_url(self, mcp_path: str | None) -> str | None:
        return None if self.server is None else self.server.metadata_url(mcp_path)

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        return [] if self.server is None else self.server.get_routes(mcp_path)

    def get_well_known_routes(self, mcp_path: str | None = None) -> list[Route]:
        return [] if self.server is None else self.server.get_well_known_routes(mcp_path)
