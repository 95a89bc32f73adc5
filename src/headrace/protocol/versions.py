"""What each protocol revision can do: one row of named facts per revision.

This is the only file that knows a revision's date. Everyone else asks a fact (``era.sessions``),
so adding a revision means adding a row here. Versions are compared by identity of the row, never
as strings: an unknown version is unknown, not "newer" (`era` answers None for it).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ERAS",
    "HANDSHAKE_VERSIONS",
    "LATEST",
    "LATEST_HANDSHAKE",
    "MODERN_VERSIONS",
    "SERVED_VERSIONS",
    "WITHOUT_HEADER",
    "Era",
    "era",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Era:
    """One revision of the protocol, as facts. Compared by identity."""

    version: str
    handshake: bool = True
    """Begins with ``initialize``; over HTTP a session may follow. Otherwise each request carries its own ``_meta``."""
    streamable_http: bool = True
    """Spoken over Streamable HTTP (2024-11-05 has only HTTP+SSE)."""
    batches: bool = False
    """A JSON array of messages is a message."""
    audio: bool = False
    resource_links: bool = False
    structured_content: bool = False
    """``structuredContent`` in tool results and ``outputSchema`` in tools."""
    any_structured_content: bool = False
    """Structured content and output schemas need not be objects."""
    titles: bool = False
    """``title`` on tools, prompts and resources; ``_meta`` on components and content."""
    annotated_tools: bool = False
    """``annotations`` on tools, ``message`` in progress, the ``completions`` capability."""
    icons: bool = False
    elicitation: bool = False
    url_elicitation: bool = False
    typed_elicitation_defaults: bool = False
    """Form fields other than booleans may have a default; multi-select and titled enumerations."""
    elicitation_ids: bool = False
    """URL elicitations have an id, a notice when complete, and error -32042."""
    sampling_tools: bool = False
    argument_errors_in_result: bool = False
    """Bad tool arguments are a result the model can read (SEP-1303), not a JSON-RPC error."""
    priming: bool = False
    """A resumable stream begins with an empty event that carries an id and ``retry`` (SEP-1699)."""
    input_required: bool = False
    """Questions to the client are results to retry (SEP-2322), not requests of the server."""
    result_types: bool = False
    """Results carry ``resultType`` and the server's name in ``_meta``; cacheable ones ``ttlMs`` and ``cacheScope``."""
    mirrored_headers: bool = False
    """HTTP headers mirror method, name and marked arguments (SEP-2243)."""
    listen: bool = False
    """Change notices come on ``subscriptions/listen``."""
    disconnect_cancels: bool = False
    """Closing the response of a request cancels it."""
    missing_resource_code: int = -32002


_R2024_11 = Era(version="2024-11-05", streamable_http=False)
_R2025_03 = Era(version="2025-03-26", batches=True, audio=True, annotated_tools=True)
_R2025_06 = Era(
    version="2025-06-18",
    audio=True,
    annotated_tools=True,
    resource_links=True,
    structured_content=True,
    titles=True,
    elicitation=True,
)
_R2025_11 = Era(
    version="2025-11-25",
    audio=True,
    annotated_tools=True,
    resource_links=True,
    structured_content=True,
    titles=True,
    icons=True,
    elicitation=True,
    url_elicitation=True,
    typed_elicitation_defaults=True,
    elicitation_ids=True,
    sampling_tools=True,
    argument_errors_in_result=True,
    priming=True,
)
_R2026_07 = Era(
    version="2026-07-28",
    handshake=False,
    audio=True,
    annotated_tools=True,
    resource_links=True,
    structured_content=True,
    any_structured_content=True,
    titles=True,
    icons=True,
    elicitation=True,
    url_elicitation=True,
    typed_elicitation_defaults=True,
    sampling_tools=True,
    argument_errors_in_result=True,
    input_required=True,
    result_types=True,
    mirrored_headers=True,
    listen=True,
    disconnect_cancels=True,
    missing_resource_code=-32602,
)

ERAS: dict[str, Era] = {row.version: row for row in (_R2024_11, _R2025_03, _R2025_06, _R2025_11, _R2026_07)}
"""Every revision by its version, oldest first."""

LATEST = _R2026_07
LATEST_HANDSHAKE = _R2025_11
WITHOUT_HEADER = _R2025_03
"""What a request without ``MCP-Protocol-Version`` and without a session speaks (2025-06-18, transports)."""

SERVED_VERSIONS: list[str] = [row.version for row in reversed(ERAS.values()) if row.streamable_http]
"""Versions served over Streamable HTTP, newest first."""
MODERN_VERSIONS: list[str] = [row.version for row in reversed(ERAS.values()) if not row.handshake]
"""Versions whose requests carry their own ``_meta``, newest first: what ``server/discover`` offers."""
HANDSHAKE_VERSIONS: list[str] = [row.version for row in reversed(ERAS.values()) if row.handshake]
"""Versions that ``initialize`` can agree on, newest first."""


def era(version: str | None) -> Era | None:
    """The revision of that name, or None for an unknown one."""
    return ERAS.get(version) if version is not None else None
