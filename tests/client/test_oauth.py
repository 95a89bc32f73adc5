"""Logins of the client, against an authorization server that can be told to misbehave."""

from __future__ import annotations

import asyncio
import base64
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from headrace import Client
from headrace.client.auth import (
    BearerAuth,
    ClientCredentials,
    FileTokenStorage,
    LoginError,
    MemoryTokenStorage,
    OAuth,
    WorkloadIdentity,
)
from headrace.client.auth.challenge import Challenge, challenge_in
from headrace.client.auth.discovery import canonical, discover
from headrace.client.auth.web import Web
from headrace.client.oauth_callback import BrowserCallback, HeadlessCallback, PasteCallback
from headrace.client.patience import limit_of, patient
from headrace.client.transports import StreamableHttpTransport
from headrace.exceptions import ClientError
from headrace.transports.http.fetch import Fetched
from tests.client.auth_server import AuthorizationServer, protected


def login(**options: Any) -> OAuth:
    return OAuth(callback=options.pop("callback", None) or HeadlessCallback(), **options)


async def three(target: Any, auth: Any, **options: Any) -> None:
    async with Client(target, auth=auth, timeout=10, **options) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3


async def test_a_login_is_asked_for_once_and_kept() -> None:
    server, storage = AuthorizationServer(), MemoryTokenStorage()
    async with protected(server, scopes_supported=["read"]) as url:
        await three(url, login(token_storage=storage))
        await three(url, login(token_storage=storage))
    (asked,), (registered,), (token,) = server.asked("authorize"), server.asked("register"), server.asked("token")
    assert asked["code_challenge_method"] == "S256"
    assert asked["resource"] == token["resource"] == url
    assert asked["scope"] == "read"
    assert registered["application_type"] == "native"
    assert registered["grant_types"] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_a_token_that_ends_is_refreshed_without_a_user(mode: str) -> None:
    server = AuthorizationServer()
    server.lifetime = 0
    async with protected(server) as url, Client(url, auth=login(), mode=mode) as client:
        for _ in range(3):
            await client.call_tool("add", {"a": 1, "b": 2})
    assert len(server.asked("authorize")) == 1
    refreshed = [form for form in server.asked("token") if form["grant_type"] == "refresh_token"]
    assert len(refreshed) >= 3
    assert len({form["refresh_token"] for form in refreshed}) == len(refreshed), "a refresh token was used twice"
    assert {form["resource"] for form in refreshed} == {url}


async def test_a_refused_token_is_refreshed_and_a_refused_refresh_is_a_login() -> None:
    server = AuthorizationServer()
    async with protected(server) as url, Client(url, auth=login()) as client:
        await client.list_tools(cache_mode="bypass")
        server.valid.clear()
        await client.list_tools(cache_mode="bypass")
        assert len(server.asked("authorize")) == 1
        server.valid.clear()
        server.refresh.clear()
        await client.list_tools(cache_mode="bypass")
        assert len(server.asked("authorize")) == 2


async def test_requests_at_once_share_a_login() -> None:
    server = AuthorizationServer()
    async with protected(server) as url, Client(url, auth=login()) as client:
        server.valid.clear()
        server.refresh.clear()
        await asyncio.gather(*(client.call_tool("add", {"a": 1, "b": n}) for n in range(8)))
    assert len(server.asked("authorize")) == 2


async def test_a_missing_scope_is_asked_for_beside_the_others() -> None:
    server = AuthorizationServer()
    async with protected(server, scopes_supported=["read"]) as url, Client(url, auth=login()) as client:
        server.require("write")
        await client.list_tools(cache_mode="bypass")
    assert [asked["scope"] for asked in server.asked("authorize")] == ["read", "read write"]


async def test_a_scope_that_is_never_granted_is_not_asked_for_for_ever() -> None:
    server = AuthorizationServer()
    server.scopes = "read"
    async with protected(server, scopes_supported=["read"]) as url, Client(url, auth=login()) as client:
        server.require("write")
        with pytest.raises(ClientError, match="403"):
            await client.list_tools(cache_mode="bypass")
    assert 2 <= len(server.asked("authorize")) <= 3


async def test_programs_that_share_a_storage_refresh_once() -> None:
    server, storage = AuthorizationServer(), MemoryTokenStorage()
    server.lifetime = 0
    async with protected(server) as url, Client(url, auth=login(token_storage=storage)):
        server.lifetime = 3600
        async with Client(url, auth=login(token_storage=storage)) as other:
            before = len(server.asked("token"))
            await other.call_tool("add", {"a": 1, "b": 2})
        assert len(server.asked("token")) == before
    assert len(server.asked("authorize")) == 1


async def test_a_user_who_denies_is_not_asked_by_every_request() -> None:
    server = AuthorizationServer()
    async with protected(server) as url, Client(url, auth=login(), mode="modern") as client:
        server.valid.clear()
        server.refresh.clear()
        server.redirect = {"error": "access_denied"}
        calls = [client.call_tool("add", {"a": 1, "b": n}) for n in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LoginError}
    assert len(server.asked("authorize")) == 2


async def test_a_refresh_that_is_given_up_is_not_lost() -> None:
    """The old refresh token is used up: without the new one the user would have to log in again."""
    server = AuthorizationServer()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(form: Any) -> None:
        if form["grant_type"] == "refresh_token":
            asked.set()
            await go_on.wait()

    server.delay = slowly
    async with protected(server) as url, Client(url, auth=login(), mode="modern") as client:
        server.valid.clear()
        call = asyncio.create_task(client.call_tool("add", {"a": 1, "b": 2}))
        await asyncio.wait_for(asked.wait(), 5)
        call.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.call_tool("add", {"a": 1, "b": 2})
    assert len(server.asked("authorize")) == 1


async def test_the_users_http_client_keeps_its_headers_for_the_server() -> None:
    server = AuthorizationServer()

    def make() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(headers={"x-api-key": "secret"}, cookies={"id": "secret"}, auth=("user", "secret"))

    async with protected(server) as url:
        await three(StreamableHttpTransport(url, auth=login(), http_client=make), None)
    assert server.asked("token")
    assert b"secret" not in b"".join(server.heads)


async def test_a_client_that_the_server_forgot_is_registered_again() -> None:
    server, storage = AuthorizationServer(), MemoryTokenStorage()
    server.token = lambda form: (
        None if form.get("client_id") in server.clients else JSONResponse({"error": "invalid_client"}, 401)
    )
    async with protected(server) as url:
        await three(url, login(token_storage=storage))
        server.clients.clear()
        server.valid.clear()
        server.register = lambda document: (
            server.clients.update(new=dict(document)) or JSONResponse({"client_id": "new"})
        )
        await three(url, login(token_storage=storage))
    assert len(server.asked("register")) == 2


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no PKCE", {"metadata": {"code_challenge_methods_supported": None}}, "does not say that it supports PKCE"),
    ("plain PKCE", {"metadata": {"code_challenge_methods_supported": ["plain"]}}, "does not say that it supports PKCE"),
    ("foreign metadata", {"metadata": {"issuer": "https://honest.example"}}, "is of another issuer"),
    ("another's answer", {"redirect": {"iss": "https://evil.example"}}, r"from another issuer \(iss\)"),
    ("an answer by nobody", {"redirect": {"iss": None}}, r"does not say who sent it \(iss\)"),
    ("another's error", {"redirect": {"iss": "https://evil.example", "error": "x"}}, r"another issuer \(iss\)$"),
    ("a foreign state", {"redirect": {"state": "mine"}}, r"to another request \(state\)"),
    ("no state", {"redirect": {"state": None}}, r"to another request \(state\)"),
    ("no code", {"redirect": {"code": None}}, "has no code"),
    ("a user who denies", {"redirect": {"error": "access_denied", "error_description": "no\nway"}}, r"'access_denied'"),
    ("script", {"metadata": {"authorization_endpoint": "javascript:alert(1)"}}, "must be https"),
    ("plain http", {"metadata": {"authorization_endpoint": "http://a.example/authorize"}}, "must be https"),
    ("a file", {"metadata": {"token_endpoint": "file:///etc/passwd"}}, "must be https"),
    ("no token endpoint", {"metadata": {"token_endpoint": None}}, "has no token endpoint"),
    ("no registration", {"metadata": {"registration_endpoint": None}}, "give its client_id"),
    ("registration refused", {"register": JSONResponse({"error": "invalid_redirect_uri"}, 400)}, "refused with 400"),
    ("code refused", {"token": JSONResponse({"error": "invalid_grant"}, 400)}, "answered 400: invalid_grant"),
    ("refused with 200", {"token": JSONResponse({"error": "bad_code"}, 200)}, "answered 200: bad_code"),
    ("no tokens", {"token": HTMLResponse("<html>")}, "does not fit"),
    ("another kind", {"token": JSONResponse({"access_token": "t", "token_type": "mac"})}, "of the type 'mac'"),
    ("endless nesting", {"token": Response(b"[" * 10_000)}, "does not fit"),
    ("endless tokens", {"token": JSONResponse({"access_token": "t" * 300_000})}, "more than 262144 bytes"),
    ("a redirect", {"token": JSONResponse({}, 307, {"location": "https://evil.example"})}, "answered 307"),
]


@pytest.mark.parametrize(("options", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_no_login(options: dict[str, Any], told: str) -> None:
    server, storage = AuthorizationServer(), MemoryTokenStorage()
    server.metadata = options.get("metadata", {})
    server.redirect = options.get("redirect", {})
    for name in ("token", "register"):
        if name in options:
            setattr(server, name, lambda _, answer=options[name]: answer)
    async with protected(server) as url:
        with pytest.raises(LoginError, match=told) as error:
            await three(url, login(token_storage=storage))
        assert "\n" not in str(error.value)
        assert await storage.get(f"tokens:{url}") is None
    assert not [form for form in server.asked("token") if "redirect" in options], "a code was sent on"


@pytest.mark.parametrize(
    ("auth", "method"),
    [
        (lambda **o: login(client_id="me", client_secret="s3 cret/", **o), "client_secret_basic"),
        (lambda **o: login(client_id="me", client_secret="s3 cret/", **o), "client_secret_post"),
        (lambda **o: login(client_id="me", **o), "none"),
        (lambda **o: ClientCredentials("me", "s3 cret/", **o), "client_secret_basic"),
    ],
)
async def test_a_client_of_the_users_own(auth: Callable[..., Any], method: str) -> None:
    server = AuthorizationServer()
    server.metadata = {"token_endpoint_auth_methods_supported": [method]}
    async with protected(server) as url:
        await three(url, auth())
        with pytest.raises(
            LoginError, match=f"The client me belongs to https://a.example, but .* uses {server.issuer}"
        ):
            await three(url, auth(issuer="https://a.example"))
    (form,) = server.asked("token")
    if method == "client_secret_basic":
        assert (
            form["authorization"] == "Basic bWU6czMrY3JldCUyRg=="
        )  # encoded as a form, then as Basic: RFC 6749, 2.3.1
        assert "client_secret" not in form
    elif method == "client_secret_post":
        assert (form["client_id"], form["client_secret"]) == ("me", "s3 cret/")
    else:
        assert form["client_id"] == "me"
    assert not server.asked("register")


async def test_a_document_stands_for_the_client_where_the_server_takes_it() -> None:
    server = AuthorizationServer()
    document = "https://app.example/client.json"
    async with protected(server) as url:
        await three(url, login(client_metadata_url=document))
        assert len(server.asked("register")) == 1
        server.metadata = {"client_id_metadata_document_supported": True}
        await three(url, login(client_metadata_url=document))
    assert len(server.asked("register")) == 1
    assert server.asked("authorize")[-1]["client_id"] == document


async def test_a_user_may_take_longer_than_a_server() -> None:
    class SlowUser(HeadlessCallback):
        async def authorize(self, url: str, state: str) -> dict[str, str]:
            await asyncio.sleep(0.6)
            return await super().authorize(url, state)

    auth = login(callback=SlowUser())
    async with protected(AuthorizationServer()) as url, Client(url, auth=auth, timeout=0.5) as client:
        await client.list_tools()


async def test_a_login_that_is_given_up_leaves_nothing() -> None:
    shown: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    callback = BrowserCallback(open=lambda url: loop.call_soon_threadsafe(shown.put_nowait, url))
    before = asyncio.all_tasks()
    async with protected(AuthorizationServer()) as url:
        entering = asyncio.create_task(Client(url, auth=login(callback=callback)).__aenter__())
        page = httpx2.URL(await asyncio.wait_for(shown.get(), 5))
        port = httpx2.URL(page.params["redirect_uri"]).port
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert asyncio.all_tasks() == before


async def test_what_is_kept_for_one_user_is_not_given_to_the_next() -> None:
    """A login in the middle of a connection may be another user's."""
    server = AuthorizationServer()
    async with protected(server) as url, Client(url, auth=login(), mode="modern") as client:
        cache = client._cache  # pyright: ignore[reportPrivateUsage]
        assert cache is not None
        changes = cache.changes
        server.valid.clear()
        server.refresh.clear()
        await client.ping()
        assert cache.changes > changes


# The browser


async def answered(callback: BrowserCallback, requests: Callable[[str], list[str]]) -> tuple[dict[str, str], list[int]]:
    """What a login gets when a browser asks for these paths, one after the other; their statuses."""
    uri = await callback.start()
    waiting = asyncio.create_task(callback.authorize("https://as.example/authorize", "s"))
    statuses: list[int] = []
    async with httpx2.AsyncClient(trust_env=False) as http:
        for path in requests(uri):
            response = await http.get(httpx2.URL(uri).join(path))
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
            statuses.append(response.status_code)
    answer = await asyncio.wait_for(waiting, 5)
    await callback.close()
    return answer, statuses


async def test_only_the_answer_with_the_state_ends_a_login() -> None:
    callback = BrowserCallback(open=lambda url: True, timeout=10)
    foreign = ["/", "/callback", "/callback?state=t&code=evil", "/callback?state=s&state=s&code=evil", "/x?state=s"]
    answer, statuses = await answered(callback, lambda uri: [*foreign, "/callback?state=s&code=good&iss=i"])
    assert answer == {"state": "s", "code": "good", "iss": "i"}
    assert statuses == [400] * len(foreign) + [200]


async def test_the_port_of_the_last_login_is_used_again() -> None:
    """What a client is registered with says the port."""
    callback = BrowserCallback(open=lambda url: True)
    first = await callback.start()
    await callback.close()
    assert await callback.start(first) == first
    other = BrowserCallback(open=lambda url: True)
    assert await other.start(first) != first
    await callback.close()
    await other.close()


async def test_connections_that_say_nothing_do_not_hold_up_a_login() -> None:
    before = asyncio.all_tasks()
    callback = BrowserCallback(open=lambda url: True)
    port = httpx2.URL(await callback.start()).port
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(40)]
    with pytest.raises(LoginError, match="waits for another login already"):
        await callback.start()
    await asyncio.wait_for(callback.close(), 5)
    assert asyncio.all_tasks() == before
    for writer in writers:
        writer.close()


async def test_nobody_logs_in() -> None:
    callback = BrowserCallback(open=lambda url: True, timeout=0.05)
    await callback.start()
    with pytest.raises(LoginError, match=r"Nobody logged in at as\.example within 0\.05 seconds"):
        await callback.authorize("https://as.example/authorize", "s")
    await callback.close()


async def test_a_browser_that_is_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    callback = PasteCallback(ask=lambda question: " http://localhost:8765/callback?code=c&state=s\n")
    assert await callback.authorize("https://as.example/authorize?x=1", "s") == {"code": "c", "state": "s"}
    assert "https://as.example/authorize?x=1" in capsys.readouterr().err


# Where logins are kept


async def test_a_file_of_logins(tmp_path: Path) -> None:
    path = tmp_path / "below" / "logins"
    one, other = FileTokenStorage(path), FileTokenStorage(path)
    assert await one.get("a") is None
    await asyncio.gather(
        *(storage.put(f"k{n}", {"secret": f"s3cret-{n}"}) for n, storage in enumerate([one, other] * 5))
    )
    assert [await other.get(f"k{n}") for n in range(10)] == [{"secret": f"s3cret-{n}"} for n in range(10)]
    await other.delete("k0")
    assert await one.get("k0") is None
    assert b"s3cret" not in path.read_bytes()
    files = sorted(each.name for each in path.parent.iterdir())
    assert files == ["logins", "logins.key", "logins.lock"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.with_name("logins.key").unlink(), "The key of .* is gone"),
        (lambda path: path.with_name("logins.key").write_bytes(b"x" * 32), "written with another key"),
        (lambda path: path.write_bytes(b"\xff"), "holds no logins"),
        (lambda path: path.write_text("AAAA"), "written with another key"),
    ],
)
async def test_a_file_of_logins_that_can_not_be_read(tmp_path: Path, harm: Callable[[Path], Any], told: str) -> None:
    path = tmp_path / "logins"
    await FileTokenStorage(path).put("a", {"b": "c"})
    harm(path)
    for use in (FileTokenStorage(path).get("a"), FileTokenStorage(path).put("a", {})):
        with pytest.raises(ClientError, match=told):
            await use


async def test_a_login_survives_in_a_file(tmp_path: Path) -> None:
    server = AuthorizationServer()
    async with protected(server) as url:
        await three(url, login(token_storage=FileTokenStorage(tmp_path / "logins", key="k")))
        await three(url, login(token_storage=FileTokenStorage(tmp_path / "logins", key="k")))
    assert len(server.asked("authorize")) == 1


# The parts


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Challenge()),
        (["Basic realm=x"], Challenge()),
        (["Bearer"], Challenge("bearer")),
        (
            ['Bearer error="invalid_token", scope="a  b a", resource_metadata="https://h/x"'],
            Challenge("bearer", "invalid_token", ("a", "b"), "https://h/x"),
        ),
        (['Basic realm="a, Bearer error=x", bearer scope=a'], Challenge("bearer", "", ("a",))),
        (
            ["Negotiate dG9rZW4=", r'Bearer error_description="say \"no\", \\ now"'],
            Challenge("bearer", description='say "no", \\ now'),
        ),
        (['Bearer error="invalid_token"', 'DPoP error="use_dpop_nonce"'], Challenge("dpop", "use_dpop_nonce")),
        (['Bearer scope="a", scope="b"'], Challenge("bearer", "", ("a",))),
        (['Bearer scope="unterminated'], Challenge("bearer")),
        (["," * 10_000], Challenge()),
        (["Bearer" + " " * 8000 + '"'], Challenge("bearer")),
    ],
)
def test_challenges(headers: list[str], expected: Challenge) -> None:
    assert challenge_in(headers) == expected


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("HTTPS://Example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com:443/mcp#x", "https://example.com/mcp"),
        ("https://user:secret@example.com:8443/mcp/", "https://example.com:8443/mcp/"),
    ],
)
def test_the_canonical_url_of_a_server(url: str, resource: str) -> None:
    assert canonical(httpx2.URL(url)) == resource


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: OAuth(client_secret="s"), "needs the client_id"),
        (lambda: OAuth(client_metadata_url="https://app.example"), "must be https and have a path"),
        (lambda: OAuth(client_metadata_url="http://localhost/x"), "must be https and have a path"),
        (lambda: ClientCredentials("c"), "one of client_secret, private_key and assertion_provider"),
        (lambda: ClientCredentials("c", "s", private_key="k"), "one of client_secret, private_key"),
        (lambda: ClientCredentials("c", private_key="no key"), "can't be read"),
        (lambda: ClientCredentials("c", private_key="k", algorithm="HS256"), "does not sign with 'HS256'"),
        (lambda: BrowserCallback(host="0.0.0.0"), "on this machine alone"),
        (lambda: Client("https://a.example", auth="SEC RET"), "A token is visible ASCII .* this one has others"),
        (lambda: BearerAuth("größe"), "A token is visible ASCII"),
        (lambda: Client("http://a.example/mcp", auth="oauth"), "A server that is logged in to must be https"),
        (lambda: Client("https://a.example", auth=5), "auth is a bearer token, 'oauth', or a login"),
    ],
)
def test_what_can_not_be_meant(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ClientError, match=told):
        make()


class Documents:
    """What is to be found on the web."""

    def __init__(self, **found: Any) -> None:
        self.found = found

    async def get(self, url: str, what: str) -> Fetched:
        document = next((each for place, each in self.found.items() if url == place), None)
        return Fetched(404, {}, b"") if document is None else Fetched(200, {}, msgspec.json.encode(document))


PRM = "https://h/.well-known/oauth-protected-resource"
AS = {"issuer": "https://as", "token_endpoint": "https://as/token"}
TENANT = {"issuer": "https://as/t", "token_endpoint": "https://as/t/token"}
AT = "https://as/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({f"{PRM}/a/mcp": ("https://h/a/mcp", "https://as"), AT: AS}, "https://h/a/mcp https://as"),
        ({PRM: ("https://h/a/mcp", "https://as"), AT: AS}, "https://h/a/mcp https://as"),
        ({PRM: ("https://h", "https://as"), AT: AS}, "https://h https://as"),
        ({"https://h/prm": ("https://h/a/mcp/", "https://as"), AT: AS}, "https://h/a/mcp/ https://as"),
        # One tenant of a host must not get tokens that are good for all of it.
        ({"https://h/prm": ("https://h", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("https://h/a", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("https://h/a/mc", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("https://h/a/mcp/more", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("https://h:8443/a/mcp", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("http://h/a/mcp", "https://as"), AT: AS}, "is of another resource"),
        ({f"{PRM}/a/mcp": ("no url at all", "https://as"), AT: AS}, "is of another resource"),
        ({PRM: ("https://h", "https://as/"), AT: AS}, "is of another issuer"),
        ({PRM: ("https://h", "https://as"), f"{AT}/t": TENANT}, "has no metadata"),
        ({PRM: ("https://h", "https://as/t"), f"{AT}/t": TENANT}, "https://h https://as/t"),
        (
            {PRM: ("https://h", "https://as/t"), "https://as/.well-known/openid-configuration/t": TENANT},
            "https://h https://as/t",
        ),
        (
            {PRM: ("https://h", "https://as/t"), "https://as/t/.well-known/openid-configuration": TENANT},
            "https://h https://as/t",
        ),
        ({PRM: ("https://h", "https://other", "https://as"), AT: AS}, "https://h https://as"),
        (
            {PRM: ("https://h",), "https://h/.well-known/oauth-authorization-server": {"issuer": "https://h"}},
            "https://h https://h",
        ),
        ({}, "https://h/a/mcp https://h"),
    ],
)
async def test_discovery(found: dict[str, Any], expected: str) -> None:
    for place, document in found.items():
        if isinstance(document, tuple):
            found[place] = {"resource": document[0], "authorization_servers": list(document[1:])}
    challenge = Challenge("bearer", resource_metadata="https://h/prm" if "https://h/prm" in found else None)
    with pytest.raises(LoginError, match=expected) if "://" not in expected else nullcontext():
        site = await discover(Documents(**found), httpx2.URL("https://h/a/mcp"), challenge, "https://as")  # pyright: ignore[reportArgumentType]
        assert f"{site.resource} {site.server.issuer}" == expected


async def test_a_server_on_the_internet_leads_nobody_into_a_private_network() -> None:
    for server, open_to in (("https://mcp.example", False), ("https://10.0.0.1", True), ("https://intranet", True)):
        web = Web(httpx2.URL(server), None, None)
        with pytest.raises(LoginError, match="can't be fetched" if open_to else "no public address .*allow_private"):
            await web.get("https://127.0.0.1:2/", "It")


async def test_time_stands_still_while_anybody_is_asked() -> None:
    begun, answered = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        with patient():
            begun.set()
            await answered.wait()

    async with limit_of(0.05) as limit:
        asking = asyncio.create_task(ask())
        await begun.wait()
        with patient():
            pass
        assert limit.when() is None
        answered.set()
        await asking
        assert limit.when() is not None
    with patient():  # a limit that is over
        pass

    async def go_on() -> None:
        async with limit_of(0.01):
            with patient():
                pass
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await go_on()


async def test_a_login_is_for_one_server() -> None:
    auth = login()
    Client("https://a.example/mcp", auth=auth)
    Client("https://a.example/mcp", auth=auth)
    with pytest.raises(ClientError, match=r"is for https://a\.example/mcp: make another one for https://b\.example"):
        Client("https://b.example", auth=auth)


async def test_nothing_secret_is_shown() -> None:
    server, storage = AuthorizationServer(), MemoryTokenStorage()
    async with protected(server) as url:
        auth = login(token_storage=storage)
        await three(url, auth)
        tokens = auth._tokens  # pyright: ignore[reportPrivateUsage]
        assert repr(tokens) == "<Tokens>"


@pytest.mark.parametrize("auth", ["right", "right\n", BearerAuth(" right")])
async def test_a_token_that_the_user_has(auth: Any) -> None:
    server = AuthorizationServer()
    async with protected(server) as url:
        from headrace.server.auth import AccessToken

        server.valid["right"] = AccessToken(token="right", client_id="c")
        await three(url, auth)
    assert not server.seen


async def test_an_assertion_is_not_shown_to_whom_it_is_not_for() -> None:
    server = AuthorizationServer()
    claims = base64.urlsafe_b64encode(b'{"aud": ["https://honest.example"]}').rstrip(b"=").decode()
    async with protected(server) as url:
        with pytest.raises(LoginError, match=r"is for https://honest\.example, but the server uses"):
            await three(url, WorkloadIdentity("w", f"e30.{claims}.x"))
    assert not server.asked("token")


async def test_a_workload_says_who_it_is_anew_each_time() -> None:
    server = AuthorizationServer()
    server.token = lambda form: JSONResponse({"error": "invalid_grant", "error_description": "expired\x1b[31m"}, 400)
    assertions = iter("ab")

    async def assertion() -> str:
        return next(assertions)

    async with protected(server) as url:
        for _ in range(2):
            with pytest.raises(LoginError, match=r"invalid_grant \(expired \[31m\)"):
                await three(url, WorkloadIdentity("w", assertion))
    assert [form["assertion"] for form in server.asked("token")] == ["a", "b"]
