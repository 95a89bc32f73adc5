"""What the fuzz targets feed, and what must hold: no exception but the named ones, and no output without bounds.

`tests/soak/test_fuzz.py` runs each for a while: the same examples in `make test`, fifty times as many and always new
ones in `make soak`.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import strategies as st

from headrace.client.auth.documents import (
    AuthorizationServer,
    LoginError,
    ProtectedResource,
    RegisteredClient,
    TokenAnswer,
    read,
)
from headrace.client.transports.sse_parser import SseEvent, SseParser
from headrace.components.uri_template import MAX_URI, UriTemplate
from headrace.exceptions import ClientError, InvalidRequest, McpError, ParseError
from headrace.protocol.jsonrpc import (
    Notification,
    Request,
    Response,
    decode,
    decode_batch,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
    id_in,
)
from headrace.protocol.requests import decode_params
from headrace.protocol.versions import LATEST_HANDSHAKE
from headrace.server.auth.oauth.contract import RegistrationError
from headrace.server.auth.oauth.registration import read_registration
from headrace.transports.http.admission import Rules, admit_head, admit_modern, handshake_era, is_modern
from headrace.transports.http.answer import Denied
from headrace.transports.http.guard import Guard
from headrace.transports.http.head import Head

__all__ = ["TARGETS"]

# What is nearly right finds more than noise: the grammar's own words, put together at random.

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
names = st.one_of(
    st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "arguments", "_meta"]),
    st.text(max_size=8),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
members = st.dictionaries(names, values, max_size=8)
envelopes = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0") | scalars},
        optional={
            "id": st.integers() | st.text(max_size=8) | values,
            "method": st.sampled_from(["ping", "tools/call", "initialize"]) | st.text(max_size=8) | values,
            "params": members | values,
            "result": members | values,
            "error": st.fixed_dictionaries({"code": st.integers(), "message": st.text(max_size=9)}) | values,
        },
    ),
    st.dictionaries(st.text(max_size=4), values, max_size=2),
)


@st.composite
def texts_of_json(draw: st.DrawFn, source: st.SearchStrategy[Any] = envelopes) -> bytes:
    """JSON, with and without blanks and escapes; often with some bytes of it changed, cut, or there twice."""
    value = draw(source)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n")]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
        piece = draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b'"', b"\\", b"\\u00", b'"id":1,', b'"method":"x",', b"[", b"{", b"}", b"1e999", b"NaN", b","]
            )
            | st.just(text[at : at + size] * 2)
        )
        text = text[:at] + piece + text[at + size :]
    return text


def refused(kinds: type[Exception] | tuple[type[Exception], ...], function: Callable[..., Any], *arguments: Any) -> Any:
    """The exception of one of these kinds, or None; another one is a finding."""
    try:
        function(*arguments)
    except kinds as error:
        return error
    return None


def envelope(body: bytes) -> None:
    """A message, or ParseError or InvalidRequest; what is a message can be written and read again."""
    error = refused((ParseError, InvalidRequest), decode, body)
    if error is not None:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000 + len(body)
        id_in(body)
        return
    message = decode(body)
    match message:
        case Request(id, method, params):
            again = decode(encode_request(id, method, params))
            check_params(params)
        case Notification(method, params):
            again = decode(encode_notification(method, params))
            check_params(params)
        case Response(id, result, None):
            assert id is not None
            again = decode(encode_result(id, bytes(result)))
        case Response(id, _, error):
            assert error is not None
            again = decode(
                encode_error(id, error.code, error.message, None if error.data is msgspec.UNSET else error.data)
            )
    assert type(again) is type(message)
    assert msgspec.structs.astuple(again)[:2] == msgspec.structs.astuple(message)[:2] or isinstance(again, Response)
    assert json.loads(body)  # the standard library agrees that it is JSON


def check_params(raw: msgspec.Raw) -> None:
    assert "\n" not in str(refused(McpError, decode_params, raw))


def batch(body: bytes) -> None:
    try:
        found = decode_batch(body, 50)
    except (ParseError, InvalidRequest):
        return
    assert 0 < len(found) <= 50


# Heads


PIECES = """127.0.0.1 localhost [::1] :80 :x evil.example http:// https:// null @ , % é application/json
    text/event-stream */* ;q=0 ;charset=utf-8 =?base64? ?= YQ== add 2026-07-28 2025-06-18 tools/call"""
pieces = st.sampled_from(PIECES.split()) | st.sampled_from(" \t\0\x7f")
fields = st.lists(pieces | st.text(st.characters(max_codepoint=255), max_size=6), max_size=4).map("".join)
header_names = st.sampled_from(
    b"host origin accept content-type mcp-protocol-version mcp-method mcp-name mcp-param-region mcp-session-id".split()
)
heads = st.lists(st.tuples(header_names, fields.map(lambda text: text.encode("latin-1", "replace"))), max_size=9)
guards = Guard(), Guard(["mcp.example", "*.tenants.example"], ["https://app.example"]), Guard(["*"], ["*"])


RULES = Rules(guards[0], json_response=False, stateless=False, max_body_bytes=1)
MIRRORED = {"mcp-param-region": (("region",), "string")}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def head(case: tuple[list[tuple[bytes, bytes]], str, str]) -> None:
    """Denied with a 4xx, McpError of admission, or in."""
    headers, method, region = case
    scope = {"method": method, "path": "/mcp", "headers": headers, "server": ("127.0.0.1", 80), "scheme": "http"}
    for guard in guards:
        denied = refused(Denied, guard.check, Head.of(dict(scope)))
        assert denied is None or denied.refusal.status in (400, 403, 421)
    denied = refused(Denied, admit_head, Head.of(dict(scope)), RULES)
    assert denied is None or denied.refusal.status in (405, 406, 415)
    params = {"name": "add", "arguments": {"region": region}, "_meta": META}
    request = decode(encode_request(1, "tools/call", params))
    assert isinstance(request, Request)
    decoded = decode_params(request.params)
    is_modern(Head.of(dict(scope)), decoded)
    error = refused(McpError, admit_modern, Head.of(dict(scope)), request, decoded, lambda _: MIRRORED, ())
    assert error is None or error.code == -32020
    error = refused(McpError, handshake_era, Head.of(dict(scope)), LATEST_HANDSHAKE)
    assert error is None or error.code == -32600


# Server-sent events


lines = st.sampled_from(
    [b"data:", b"data: ", b"id:", b"id: 7", b"event: x", b"retry: 5", b":", b"", b"\xef\xbb\xbf", b"\0"]
)
streams = st.lists(
    st.tuples(lines, st.binary(max_size=5), st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b""])), max_size=20
).map(lambda found: b"".join(b"".join(each) for each in found))


def events(case: tuple[bytes, list[int]]) -> None:
    """The same events however the stream is cut, none longer than the stream; with limits, ClientError."""
    text, cuts = case
    whole = SseParser().feed(text)
    parser, found, start = SseParser(), list[SseEvent](), 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        found += parser.feed(text[start:cut])
        start = cut
    assert found == whole
    assert sum(len(event.data) for event in found) <= len(text)
    assert all(event.id is None or "\0" not in event.id for event in found)
    bounded = SseParser(max_line=8, max_event=12)
    try:
        kept = [event for at in range(0, len(text), 3) for event in bounded.feed(text[at : at + 3])]
    except ClientError:
        return
    assert all(len(event.data) < 12 for event in kept)


# URI templates


words = st.text(string.ascii_lowercase, min_size=1, max_size=3)
templates = st.lists(
    st.sampled_from(["/", "x://", "a", "-", "?", "{", "}", "{a", "é", " ", "%20"])
    | words.map("{{{}}}".format)
    | words.map("{{{}*}}".format)
    | words.map("{{?{}}}".format)
    | words.map("{{?{}*,b}}".format),
    max_size=7,
).map("".join)
uris = st.lists(
    st.sampled_from(["/", "x://", "a", "-", "?", "&", "b=", "%", "%C3", "%00", "..", "é", "#"]) | words, max_size=12
)


def template(case: tuple[str, str, str]) -> None:
    """ValueError for what is no template; a match gives back the URI it was made of; bounded."""
    text, uri, value = case
    if refused(ValueError, UriTemplate, text):
        return
    made = UriTemplate(text)
    found = made.match(uri)
    if found is not None:
        assert found.keys() <= set(made.names)
        assert sum(len(each) for each in found.values()) <= len(uri) * 3
    assert made.match("x" * (MAX_URI + 1)) is None
    if len(made.path_names) == 1 and value and not made.query_names and not set("#?") & set(text):
        (name,) = made.path_names
        uri = text.replace(f"{{{name}*}}", quote(value, safe="")).replace(f"{{{name}}}", quote(value, safe=""))
        assert made.match(uri) == {name: value}


# Metadata documents


MEMBERS = """issuer resource authorization_servers token_endpoint scopes_supported access_token expires_in client_id
        redirect_uris client_secret_expires_at grant_types_supported token_type scope"""
documents = st.dictionaries(
    st.sampled_from(MEMBERS.split()),
    values | st.lists(st.text(max_size=9), max_size=3) | st.sampled_from(["https://as.example", "3600", "1e999"]),
    max_size=8,
)
KINDS: tuple[type[Any], ...] = (AuthorizationServer, ProtectedResource, RegisteredClient, TokenAnswer)


def document(body: bytes) -> None:
    """The document, or LoginError in one bounded line."""
    for kind in KINDS:
        error = refused(LoginError, read, kind, body, "The server")
        if error is None:
            found = read(kind, body, "The server")
            assert read(kind, msgspec.json.encode(found), "The server") == found
        else:
            assert "\n" not in str(error)
            assert len(str(error)) <= 600


def client_metadata(body: bytes) -> None:
    """A client to be registered, whose text is bounded, or RegistrationError in one bounded line."""
    error = refused(RegistrationError, read_registration, body)
    if error is None:
        assert len(msgspec.json.encode(read_registration(body).redirect_uris)) <= 4 * len(body)
    else:
        assert error.error in ("invalid_client_metadata", "invalid_redirect_uri")
        assert "\n" not in error.error_description
        assert len(error.error_description) < 1000


CLIENT = """https://app.example/cb http://localhost:1/ http://127.0.0.1/cb javascript:alert(1) com.app:/cb
    https://a@b/ //x https://[::1]/ https://xn--a/ https://a.example/../b https://a.example/#f"""
clients = st.fixed_dictionaries(
    {"redirect_uris": st.lists(st.sampled_from(CLIENT.split()) | st.text(max_size=12), max_size=4)},
    optional={
        "client_name": st.text(max_size=20) | values,
        "grant_types": st.lists(st.sampled_from(["authorization_code", "refresh_token", "implicit"]), max_size=3),
        "response_types": st.lists(st.sampled_from(["code", "token"]), max_size=2) | values,
        "token_endpoint_auth_method": st.sampled_from(["none", "private_key_jwt"]) | values,
        "application_type": st.sampled_from(["web", "native"]) | values,
        "client_uri": st.sampled_from(CLIENT.split()) | values,
        "scope": st.text(max_size=20) | values,
        "jwks": st.fixed_dictionaries({"keys": st.lists(documents, max_size=2)}) | values,
        "jwks_uri": st.sampled_from(CLIENT.split()) | values,
    },
)


TARGETS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "envelope": (envelope, texts_of_json() | st.binary(max_size=64)),
    "batch": (batch, texts_of_json(st.lists(envelopes, max_size=4)) | st.binary(max_size=64)),
    "head": (head, st.tuples(heads, st.sampled_from(["GET", "POST", "DELETE", "PUT"]), st.text(max_size=8))),
    "events": (events, st.tuples(streams | st.binary(max_size=64), st.lists(st.integers(0, 200), max_size=5))),
    "template": (template, st.tuples(templates, uris.map("".join) | st.text(max_size=30), st.text(max_size=6))),
    "client metadata": (client_metadata, texts_of_json(clients) | st.binary(max_size=64)),
    "document": (document, texts_of_json(documents) | st.binary(max_size=64)),
}
