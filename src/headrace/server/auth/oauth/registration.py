"""Clients that register themselves (RFC 7591), bounded in what they say and in number; and where clients are kept.

What is said here is shown to users and decides where codes go: all of it is checked, what is unknown is dropped.
"""

from __future__ import annotations

import secrets
import time
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from ....exceptions import ParseError
from ....protocol.json_bounds import check_text
from ....state.records import RecordStore
from .contract import OAuthClientInformationFull, RegistrationError
from .kept import record_of
from .parameters import SCOPES
from .redirects import check_redirect_uri, is_loopback_host, parse_uri

__all__ = [
    "KEPT_SECONDS",
    "UNUSED_SECONDS",
    "check_metadata",
    "decode_metadata",
    "load_client",
    "read_registration",
    "renew_client",
    "save_client",
]

KEPT_SECONDS = 90 * 24 * 3600.0
"""A client that nobody uses for so long is forgotten..."""
UNUSED_SECONDS = 3 * 24 * 3600.0
"""...and one with which no user ever logged in: sooner the more there are, so that room stays for those who come."""
_LEAST_SECONDS = 900.0
"""A user takes so long to log in."""
_KIND = "oauth-client"
_NEW = "oauth-client-new"
"""Only these are bounded in number: for one that is used a user has logged in."""
_MAX_BYTES = 8 * 1024
"""So that thousands have room in memory."""
_MAX_REDIRECTS = 50
_MAX_LIST = 10
_MAX_TEXT = 2048
_MAX_NAME = 200
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LINKS = ("client_uri", "logo_uri", "tos_uri", "policy_uri")
_CONFIDENTIAL = ("client_secret_basic", "client_secret_post")
_JOINERS = "\u200c\u200d"
"""Letters of some scripts, and of emoji; no other invisible character is in a name."""


def read_registration(
    body: bytes,
    *,
    scopes_allowed: Collection[str] | None = None,
    scopes_default: Sequence[str] | None = None,
    grant_types: Collection[str] = ("authorization_code", "refresh_token"),
    auth_methods: Collection[str] = ("none", *_CONFIDENTIAL, "private_key_jwt"),
    redirect_patterns: Sequence[str] | None = None,
    secret_seconds: float | None = None,
) -> OAuthClientInformationFull:
    """The new client of a registration's body, with an id, and a secret where it is to have one (for `secret_seconds`).

    Scopes and grant types that this server does not have are left out, as RFC 7591 allows; nothing left is an error.
    `redirect_patterns`: see `check_redirect_uri`. Raises RegistrationError.
    """
    if len(body) > _MAX_BYTES:
        raise _refused(f"The body is longer than {_MAX_BYTES} bytes")
    client = decode_metadata(body)
    now = int(time.time())
    client.client_id = secrets.token_urlsafe(24)
    client.client_id_issued_at = now
    client.client_secret = client.client_secret_expires_at = None
    client.token_endpoint_auth_method = client.token_endpoint_auth_method or "client_secret_basic"
    check_metadata(client, grant_types=grant_types, auth_methods=auth_methods, redirect_patterns=redirect_patterns)
    client.scope = _scope(client.scope, scopes_allowed, scopes_default)
    if client.token_endpoint_auth_method in _CONFIDENTIAL:
        client.client_secret = secrets.token_urlsafe(32)
        client.client_secret_expires_at = 0 if secret_seconds is None else now + int(secret_seconds)
    return client


def decode_metadata(document: bytes) -> OAuthClientInformationFull:
    """The members that are known; null counts as absent. Raises RegistrationError."""
    try:
        check_text(document)
        members = msgspec.json.decode(document, type=dict[str, Any])
        present = {name: value for name, value in members.items() if value is not None}
        return msgspec.convert(present, type=OAuthClientInformationFull)
    except (ParseError, msgspec.DecodeError) as error:
        raise _refused(f"This is no client metadata in JSON: {' '.join(str(error).split())[:200]}") from None


def check_metadata(
    client: OAuthClientInformationFull,
    *,
    grant_types: Collection[str],
    auth_methods: Collection[str],
    redirect_patterns: Sequence[str] | None = None,
) -> None:
    """What a client says about itself, in a registration or in a document of its own; fills in what it left open.

    Raises RegistrationError.
    """
    _check_texts(client)
    if client.token_endpoint_auth_method not in auth_methods:
        raise _refused(f"token_endpoint_auth_method must be one of: {', '.join(auth_methods)}")
    _check_keys(client)
    client.grant_types = [each for each in dict.fromkeys(client.grant_types) if each in grant_types]
    if not client.grant_types or client.grant_types == ["refresh_token"]:
        raise _refused(f"grant_types must have one of: {', '.join(grant_types)}")
    if "client_credentials" in client.grant_types and client.token_endpoint_auth_method == "none":
        raise _refused("The grant client_credentials needs a client that can prove who it is")
    with_code = "authorization_code" in client.grant_types
    if with_code and "code" not in client.response_types:
        raise _refused("response_types must have code")
    client.response_types = ["code"] if with_code else []
    _check_redirects(client, with_code, redirect_patterns)


def _check_redirects(client: OAuthClientInformationFull, needed: bool, patterns: Sequence[str] | None) -> None:
    uris = client.redirect_uris = list(dict.fromkeys(client.redirect_uris or ()))
    if needed and not uris:
        raise RegistrationError("invalid_redirect_uri", "redirect_uris must have at least one URI")
    if len(uris) > _MAX_REDIRECTS:
        raise RegistrationError("invalid_redirect_uri", f"redirect_uris has more than {_MAX_REDIRECTS} URIs")
    for uri in uris:
        check_redirect_uri(uri, patterns)
    remote = [parse_uri(uri).scheme == "https" and not _is_local_name(uri) for uri in uris]
    if client.application_type is None:
        client.application_type = "web" if all(remote) else "native"
    elif client.application_type not in ("web", "native"):
        raise _refused("application_type must be web or native")
    if client.application_type == "web" and not all(remote):
        raise RegistrationError(
            "invalid_redirect_uri",
            "A web application redirects to https on a host of its own; use application_type native",
        )


def _is_local_name(uri: str) -> bool:
    host = (parse_uri(uri).host or "").lower()
    return host.endswith(".localhost") or is_loopback_host(host)


def _check_texts(client: OAuthClientInformationFull) -> None:
    for name in (*_LINKS, "client_name", "software_id", "software_version", "jwks_uri", "scope"):
        text: str | None = getattr(client, name)
        if text == "":
            setattr(client, name, None)
        elif text is not None and (len(text) > (_MAX_NAME if name == "client_name" else _MAX_TEXT) or _is_hidden(text)):
            raise _refused(f"{name} is too long or has characters that can't be shown")
    for name in _LINKS:
        link: str | None = getattr(client, name)
        if link is not None and not _is_link(link):
            raise _refused(f"{name} must be an https or http URL")
    contacts = client.contacts or []
    if len(contacts) > _MAX_LIST or any(len(each) > _MAX_NAME or _is_hidden(each) for each in contacts):
        raise _refused("contacts has too many entries, or too long ones")
    if client.client_name is not None:
        client.client_name = client.client_name.strip() or None


def _is_hidden(text: str) -> bool:
    """Control characters, and those that turn or hide what follows them."""
    return any(
        unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and each not in _JOINERS
        for each in text
    )


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc and "\\" not in text
        )
    except ValueError:
        return False


def _check_keys(client: OAuthClientInformationFull) -> None:
    """The public keys of a client that signs; others need none."""
    if client.token_endpoint_auth_method != "private_key_jwt":
        client.jwks = client.jwks_uri = None
        return
    if (client.jwks is None) == (client.jwks_uri is None):
        raise _refused("private_key_jwt needs jwks or jwks_uri, and only one of them")
    if client.jwks_uri is not None:
        if not (client.jwks_uri.startswith("https://") and _is_link(client.jwks_uri)):
            raise _refused("jwks_uri must be an https URL")
        return
    keys: Any = (client.jwks or {}).get("keys")
    if not isinstance(keys, list) or not 0 < len(cast("list[Any]", keys)) <= _MAX_LIST:
        raise _refused(f"jwks must have 1 to {_MAX_LIST} keys")
    for key in cast("list[Any]", keys):
        if not isinstance(key, dict) or not {"kty"} <= cast("dict[str, Any]", key).keys():
            raise _refused("jwks must have keys in JWK form")
        if _PRIVATE_MEMBERS & cast("dict[str, Any]", key).keys():
            raise _refused("jwks must have public keys only: replace the one that was sent, it is known now")


def _scope(asked: str | None, allowed: Collection[str] | None, default: Sequence[str] | None) -> str | None:
    if asked is None:
        return " ".join(default) if default else None
    if not SCOPES.fullmatch(asked):
        raise _refused("scope must be names with single blanks between them")
    names = [each for each in dict.fromkeys(asked.split(" ")) if allowed is None or each in allowed]
    if not names:
        raise _refused(f"This server has none of these scopes; it has: {', '.join(allowed or ())}")
    return " ".join(names)


def _refused(why: str) -> RegistrationError:
    return RegistrationError("invalid_client_metadata", why)


# Where clients are kept


async def save_client(
    records: RecordStore,
    client: OAuthClientInformationFull,
    *,
    limit: int | None = 3_000,
    ttl: float | None = UNUSED_SECONDS,
) -> None:
    """Keeps a new client for `ttl` seconds (None: for ever); `renew_client` keeps it longer once a user has logged in.

    `limit` is how many there may be that nobody has used, about: several that come at once may pass it (None: for
    clients of one's own). The fewer there is room for, the shorter `ttl`. Raises RegistrationError
    (``temporarily_unavailable``) past it.
    """
    if limit is not None:
        room = 1 - await records.count(_NEW) / limit
        if room <= 0:
            raise RegistrationError(
                "temporarily_unavailable",
                f"This server has {limit} new clients and takes no more for now: try again later",
            )
        # Cubed: by the room alone the first ones stay so long that one network has filled it before they are gone.
        ttl = None if ttl is None else max(ttl * room**3, _LEAST_SECONDS)
    await records.put(_NEW, client.client_id, msgspec.json.encode(client), ttl=ttl)


async def load_client(records: RecordStore, client_id: str) -> OAuthClientInformationFull | None:
    # Twice, as another request may move it in between: whom nobody knows registers again.
    found = (
        await records.get(_KIND, client_id) or await records.get(_NEW, client_id) or await records.get(_KIND, client_id)
    )
    return record_of(found, OAuthClientInformationFull)


async def renew_client(records: RecordStore, client_id: str, *, ttl: float | None = KEPT_SECONDS) -> None:
    """Keeps a registered client for `ttl` seconds from now: for after each login and refresh."""
    used = await records.get(_KIND, client_id)
    found = used or await records.get(_NEW, client_id)
    if found is None:
        return
    await records.swap(_KIND, client_id, used, found, ttl=ttl)
    if used is None:
        await records.delete(_NEW, client_id)
