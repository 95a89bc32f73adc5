"""What the verifiers of opaque tokens have in common: the provider is asked whose token it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from ....exceptions import FetchError
from ....transports.http.fetch import Fetched
from ..oauth.upstream import fetch_json
from ..provider import AccessToken
from ..verifiers import TokenVerifier

__all__ = ["RemoteOptions", "UserinfoVerifier", "some"]


class RemoteOptions(TypedDict, total=False):
    """What may be given to each provider that trusts an authorization server elsewhere."""

    scopes_supported: Iterable[str] | None
    resource_name: str | None
    resource_documentation: str | None


class UserinfoVerifier(TokenVerifier):
    """`url` is the userinfo endpoint, `claims_of` what is kept of its answer; behind the proxy scopes are those that
    were given with the token. For other endpoints `ask`, and say in `verify_token` what the answer means.

    `timeout_seconds` for one request.
    """

    url = ""

    def __init__(
        self, required_scopes: Iterable[str] | None = None, timeout_seconds: float = 10.0, base_url: str | None = None
    ) -> None:
        super().__init__(base_url, required_scopes)
        self.timeout_seconds = timeout_seconds

    async def verify_token(self, token: str) -> AccessToken | None:
        asked = await self.ask(self.url, token)
        if asked is None or not asked[1].get("sub"):
            return None
        user = asked[1]
        subject, scopes = str(user["sub"]), str(user.get("scope") or "").split()
        return AccessToken(
            token=token, client_id=subject, scopes=scopes, claims={**self.claims_of(user), "sub": subject}
        )

    def claims_of(self, user: dict[str, Any]) -> dict[str, Any]:
        return user

    async def ask(
        self, url: str, token: str, headers: Mapping[str, str] | None = None
    ) -> tuple[Fetched, dict[str, Any]] | None:
        """What the provider says of the bearer of the token; None where it is not good. Raises FetchError."""
        if not token.isascii() or not token.isprintable():
            return None
        answer, document = await fetch_json(
            url, headers={"authorization": f"Bearer {token}", **(headers or {})}, timeout=self.timeout_seconds
        )
        if answer.status == 200:
            return answer, document
        # 403 with a limit that is used up says nothing of the token.
        if answer.status in (400, 401, 403, 404) and answer.headers.get("x-ratelimit-remaining") != "0":
            return None
        raise FetchError(f"The identity provider answered {answer.status} to a question about a token")


def some(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The members of these names that are there."""
    return {name: document[name] for name in names if document.get(name) is not None}
