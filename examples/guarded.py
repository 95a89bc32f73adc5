"""A server that lets in who signs in: ``python examples/guarded.py``, then ``headrace call URL whoami --auth oauth``.

The browser shows a page of this server: sign in as ada, password "lovelace". Logins are kept in a file, and outlive the
server where HEADRACE_SECRET_KEY is set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from headrace import FastMCP
from headrace.dependencies import TokenClaim
from headrace.server.auth import EmbeddedOAuthProvider, hash_password, require_scopes
from headrace.state.sqlite import SqliteRecordStore

NOTES: dict[str, list[str]] = {}


def make(url: str, logins: Path) -> FastMCP:
    """`url` is where users reach the server, without the MCP path."""
    auth = EmbeddedOAuthProvider(
        url,
        # In earnest, keep the hashes; this makes one anew at each start.
        users={"ada": hash_password("lovelace")},
        required_scopes=["read"],
        scopes_supported=["read", "write"],
        store=SqliteRecordStore(logins),
    )
    mcp = FastMCP("guarded", auth=auth)

    @mcp.tool
    def whoami(user: str = TokenClaim("sub")) -> str:
        """Who signed in."""
        return user

    @mcp.tool
    def notes(user: str = TokenClaim("sub")) -> list[str]:
        """What the user has noted; each sees their own."""
        return NOTES.get(user, [])

    @mcp.tool(auth=require_scopes("write"))
    def note(text: str, user: str = TokenClaim("sub")) -> int:
        """Note something. It asks the user once more, for a program that may also write."""
        NOTES.setdefault(user, []).append(text)
        return len(NOTES[user])

    return mcp


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A server with users of its own.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--logins", type=Path, default=Path("logins.db"))
    given = parser.parse_args()
    server = make(f"http://127.0.0.1:{given.port}", given.logins)
    server.run(transport="http", host="127.0.0.1", port=given.port)
