"""The server of test_redaction.py: all of its loggers say everything, on stderr. ``python secrets_app.py [oauth]``."""

from __future__ import annotations

import asyncio
import logging
import sys

from pydantic import BaseModel

from headrace import Context, FastMCP
from headrace.server.auth import AccessToken, AuthProvider
from headrace.server.auth.oauth.contract import AuthorizationParams, OAuthClientInformationFull
from headrace.server.auth.oauth.embedded import InMemoryOAuthProvider


class Verifier(AuthProvider):
    """Lets in whoever begins with "good", and falls over some tokens."""

    async def verify_token(self, token: str) -> AccessToken | None:
        if token.startswith("broken"):
            raise RuntimeError(f"can't look up {token!r}")
        return AccessToken(token=token, client_id="client") if token.startswith("good") else None


class Login(InMemoryOAuthProvider):
    """Lets everybody in, and falls over some states."""

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        if (params.state or "").startswith("broken"):
            raise RuntimeError(f"{params.state} of {client.client_id} leads nowhere")
        return await super().authorize(client, params)


class Order(BaseModel):
    card: int


def make(auth: AuthProvider | None) -> FastMCP:
    mcp = FastMCP("secrets", auth=auth)

    @mcp.tool
    async def echo(text: str) -> str:
        return text

    @mcp.tool
    async def fail(text: str, number: int = 0) -> str:
        raise ValueError(f"can't do {text!r} with {number}, {[text]}")

    @mcp.tool
    def fail_in_a_thread(text: str) -> str:
        try:
            raise KeyError(text)
        except KeyError as error:
            raise RuntimeError("there is no such key") from error

    @mcp.tool
    async def fail_in_pydantic(order: dict[str, str]) -> str:
        return str(Order.model_validate(order))

    @mcp.tool
    async def fail_with_an_answer(ctx: Context) -> str:
        answer = await ctx.elicit("Your password?", response_type=str, key="password")
        raise ValueError(f"{getattr(answer, 'data', None)!r} is wrong")

    @mcp.tool
    async def leave(text: str) -> str:
        sys.exit(text)

    @mcp.resource("data://{name}{?key}")
    async def data(name: str, key: str = "") -> str:
        raise ValueError(f"{key!r} opens nothing")

    @mcp.prompt
    async def ask(text: str) -> str:
        raise ValueError(f"no prompt for {text!r}")

    return mcp


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    if sys.argv[1:] == ["oauth"]:
        auth: AuthProvider = Login("http://localhost:8000")
    else:
        auth = Verifier()
    # Every callback of the loop is told about.
    asyncio.run(serve(make(auth)), debug=True)


async def serve(mcp: FastMCP) -> None:
    asyncio.get_running_loop().slow_callback_duration = 0.0
    await mcp.run_http_async(port=0, log_level="debug")


if __name__ == "__main__":
    main()
