"""How a client proves who it is at the token endpoint: not at all, with a secret, or with a key (RFC 6749, 2.3;
RFC 7523, 2.2; 2026-07-28, Authorization). What it did not prove is ``invalid_client``, 401.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from starlette.requests import Request

from ..compact import BadToken
from ..keys import check_signature
from .assertions import check_claims, given_keys, read_assertion
from .contract import OAuthClientInformationFull, RegistrationError, TokenError
from .parameters import Parameters

if TYPE_CHECKING:
    from .provider import OAuthProvider

__all__ = ["METHODS", "authenticate", "known_client"]

METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_TYPES = ("", "jwt", "client-authentication+jwt")


async def authenticate(
    provider: OAuthProvider, request: Request, form: Parameters, endpoint: str
) -> OAuthClientInformationFull:
    """The client that made the request. `endpoint` is the URL it came to.

    Raises TokenError: ``invalid_client``, or ``invalid_request`` for proofs of two kinds at once.
    """
    basic = _basic(request)
    offered = [basic is not None, "client_secret" in form, "client_assertion" in form]
    if sum(offered) > 1:
        raise TokenError("invalid_request", "A client proves who it is in one way, not in several")
    if "client_assertion" in form:
        return await _by_assertion(provider, form, endpoint)
    client_id, secret = basic or (form.get("client_id"), form.get("client_secret"))
    if not client_id:
        raise _unknown("client_id is missing")
    if form.get("client_id", client_id) != client_id:
        raise _unknown("client_id is not the one of the Authorization header")
    client = await known_client(provider, client_id)
    _check_secret(client, secret)
    return client


async def known_client(provider: OAuthProvider, client_id: str) -> OAuthClientInformationFull:
    """The client. Raises TokenError (``invalid_client``, or ``temporarily_unavailable`` while it can't be read)."""
    try:
        client = await provider.get_client(client_id)
    except RegistrationError as error:
        raise TokenError(error.error, error.error_description) from None
    if client is None:
        raise _unknown("This client is not known here: register again")
    return client


def _basic(request: Request) -> tuple[str, str] | None:
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, encoded = values[0].partition(" ")
    try:
        if len(values) > 1 or scheme.lower() != "basic":
            raise ValueError
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error):
        raise _unknown("The Authorization header is no Basic client_id:client_secret") from None
    # Each half is form-encoded (RFC 6749, 2.3.1).
    return unquote_plus(client_id), unquote_plus(secret)


def _check_secret(client: OAuthClientInformationFull, secret: str | None) -> None:
    method = client.token_endpoint_auth_method
    if method == "private_key_jwt":
        raise _unknown("This client proves who it is with private_key_jwt")
    if method == "none" or (method is None and client.client_secret is None):
        if secret is not None:
            raise _unknown("This client is public: it has no secret")
        return
    if secret is None or client.client_secret is None:
        raise _unknown("This client proves who it is with its secret")
    if not hmac.compare_digest(_digest(secret), _digest(client.client_secret)):
        raise _unknown("The client's secret is wrong")
    if client.client_secret_expires_at and client.client_secret_expires_at <= time.time():
        raise _unknown("The client's secret has expired: register again")


async def _by_assertion(provider: OAuthProvider, form: Parameters, endpoint: str) -> OAuthClientInformationFull:
    if form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise _unknown(f"client_assertion_type must be {_ASSERTION_TYPE}")
    try:
        signed, claims = read_assertion(form["client_assertion"], *_ASSERTION_TYPES)
        client_id = claims.get("sub")
        if not isinstance(client_id, str) or form.get("client_id", client_id) != client_id:
            raise BadToken("The assertion's sub must be the client's id")
        client = await known_client(provider, client_id)
        if client.token_endpoint_auth_method != "private_key_jwt":
            raise BadToken("This client does not prove who it is with private_key_jwt")
        if claims.get("iss") != client_id:
            raise BadToken("The assertion's iss and sub must be the client's id")
        check_signature(signed, given_keys(await provider.client_jwks(client)))
        await check_claims(provider, claims, (provider.issuer, endpoint))
    except RegistrationError as error:
        raise TokenError(error.error, error.error_description) from None
    except BadToken as error:
        raise _unknown(f"{error}") from None
    return client


def _unknown(why: str) -> TokenError:
    return TokenError("invalid_client", why)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
