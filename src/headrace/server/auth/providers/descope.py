"""Descope, which registers clients itself."""

from __future__ import annotations

from typing import Unpack
from urllib.parse import urlsplit

from ..jwt import JWTVerifier
from ..provider import AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["DescopeProvider"]

_WELL_KNOWN = "/.well-known/openid-configuration"


class DescopeProvider(RemoteAuthProvider):
    """`config_url` of the MCP server in Descope's console, or `project_id` and `descope_base_url` of a project.

    Raises ValueError for neither, or a URL without a project.
    """

    def __init__(
        self,
        *,
        base_url: str,
        config_url: str | None = None,
        project_id: str | None = None,
        descope_base_url: str | None = None,
        required_scopes: list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        if config_url is not None:
            issuer = str(config_url).rstrip("/").removesuffix(_WELL_KNOWN)
            parts = urlsplit(issuer)
            place, named = f"{parts.scheme}://{parts.netloc}", [each for each in parts.path.split("/") if each]
            project = next((each for each in named[2:] if each != "agentic"), "") if named[1:2] == ["apps"] else ""
        elif project_id is not None and descope_base_url is not None:
            project, place = project_id, str(descope_base_url).rstrip("/")
            place = place if place.startswith(("https://", "http://")) else f"https://{place}"
            issuer = f"{place}/v1/apps/{project}"
        else:
            raise ValueError("DescopeProvider needs config_url, or project_id and descope_base_url")
        if not project:
            raise ValueError(f"There is no project in the config_url {config_url}")
        self.project_id = project
        verifier = token_verifier or JWTVerifier(
            jwks_uri=f"{place}/{project}/.well-known/jwks.json",
            issuer=list(dict.fromkeys([issuer, f"{place}/v1/apps/{project}", f"{place}/v1/apps/agentic/{project}"])),
            algorithm="RS256",
            audience=project,
            required_scopes=required_scopes,
        )
        super().__init__(verifier, [issuer], base_url, **options)
