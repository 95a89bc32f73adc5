"""How a user is asked to log in, and how the answer comes back (RFC 8252, 7.3).

`BrowserCallback` opens the system's browser and takes the redirect on a port of this machine; `PasteCallback` is for
machines without a browser; `HeadlessCallback` is for tests, against servers that ask nobody.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import httpx2

from .auth.documents import LoginError, NoAnswer, checked_url, is_loopback

__all__ = ["BrowserCallback", "Callback", "HeadlessCallback", "PasteCallback"]

_PATH = "/callback"
_MAX_HEAD = 16 * 1024
_HEAD_SECONDS = 10.0
_MAX_CONNECTIONS = 32
_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>%s</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto"><h1>%s</h1><p>%s</p></body></html>"""
_DONE = ("200 OK", _PAGE % (b"Answer received", b"Answer received", b"You can close this window."))
_FOREIGN = ("400 Bad Request", _PAGE % (b"Not expected", b"Not expected", b"This is no answer to a login here."))
_HEADERS = (
    "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n"
    "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
    "x-content-type-options: nosniff\r\nconnection: close\r\n"
)


class Callback(Protocol):
    """Where a login happens."""

    async def start(self, before: str | None = None) -> str:
        """The redirect URI from now on; `before` is the one of the last login, to be kept where it can be."""
        ...

    async def authorize(self, url: str, state: str) -> dict[str, str]:
        """Have the user visit the URL; the parameters that came back with that `state`. Raises LoginError."""
        ...

    async def close(self) -> None: ...


class BrowserCallback:
    """`port` None: any, the same one as before if it is free. `host` is what the redirect URI says. `open` shows a URL
    to the user, False if it can't. `timeout` in seconds, for the user."""

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str = "localhost",
        timeout: float = 300.0,
        open: Callable[[str], object] = webbrowser.open,
    ) -> None:
        if not is_loopback(host):
            raise LoginError(f"The answer to a login is taken on this machine alone, not on {host!r}")
        self._port = port
        self._host = host
        self._timeout = timeout
        self._open = open
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[Any]] = set()
        self._state = ""
        self._answer: asyncio.Future[dict[str, str]] | None = None

    async def start(self, before: str | None = None) -> str:
        if self._servers:
            raise LoginError("This callback waits for another login already: give each login its own")
        sockets = _listening(self._host, self._port, _port_of(before))
        self._answer = asyncio.get_running_loop().create_future()
        try:
            for each in sockets:
                self._servers.append(await asyncio.start_server(self._take, sock=each, limit=_MAX_HEAD))
        except BaseException:
            for each in sockets:
                each.close()
            raise
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{sockets[0].getsockname()[1]}{_PATH}"

    async def authorize(self, url: str, state: str) -> dict[str, str]:
        checked_url(url, "The authorization endpoint")
        assert self._answer is not None
        self._state = state
        opened = _in_thread(self._open, url)  # a browser in the terminal returns when the user leaves it
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.wait([opened, self._answer], return_when=asyncio.FIRST_COMPLETED)
                if opened.done() and not opened.cancelled() and opened.result() is False:
                    print(f"Open this page to log in:\n{url}", file=sys.stderr)
                return await self._answer
        except TimeoutError:
            raise NoAnswer(f"Nobody logged in at {urlsplit(url).netloc} within {self._timeout:g} seconds") from None

    async def close(self) -> None:
        servers, self._servers = self._servers, []
        self._state = ""
        for server in servers:
            server.close()
        # Browsers open connections that they don't use; nothing more is said on them.
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, *(server.wait_closed() for server in servers), return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request. Only the answer that carries the state ends the wait, whatever else comes to the port."""
        connection = asyncio.current_task()
        assert connection is not None
        if len(self._connections) >= _MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(connection)
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                answer = self._answer_in(head)
                status, page = _FOREIGN if answer is None else _DONE
                writer.write(f"HTTP/1.1 {status}\r\n{_HEADERS}content-length: {len(page)}\r\n\r\n".encode() + page)
                await writer.drain()
            if answer is not None and self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # CancelledError is from `close`: nobody else has this task
        finally:
            self._connections.discard(connection)
            writer.close()

    def _answer_in(self, head: bytes) -> dict[str, str] | None:
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        path, _, query = rest.rpartition(" ")[0].partition("?")
        if method != "GET" or path != _PATH or not self._state:
            return None
        answer = _parameters(query)
        mine = hmac.compare_digest(answer.get("state", "").encode(), self._state.encode())
        return answer if mine else None


class PasteCallback:
    """Prints the URL, and asks for the one that the browser was sent to at the end. `redirect_uri` need not answer."""

    def __init__(self, redirect_uri: str = "http://localhost:8765/callback", *, ask: Callable[[str], str] = input):
        self._redirect_uri = redirect_uri
        self._ask = ask

    async def start(self, before: str | None = None) -> str:
        return self._redirect_uri

    async def authorize(self, url: str, state: str) -> dict[str, str]:
        checked_url(url, "The authorization endpoint")
        print(f"Open this page on any machine, and log in:\n{url}\n", file=sys.stderr)
        asked = "The address that your browser shows then (it may say that it can't be reached): "
        return _parameters(str(await _in_thread(self._ask, asked)).strip().partition("?")[2].partition("#")[0])

    async def close(self) -> None:
        pass


class HeadlessCallback:
    """Follows the redirects of the authorization endpoint itself, up to the redirect URI."""

    def __init__(self, redirect_uri: str = "http://localhost:8765/callback", *, max_redirects: int = 10) -> None:
        self._redirect_uri = redirect_uri
        self._max_redirects = max_redirects

    async def start(self, before: str | None = None) -> str:
        return self._redirect_uri

    async def authorize(self, url: str, state: str) -> dict[str, str]:
        try:
            async with httpx2.AsyncClient(follow_redirects=False, timeout=30.0) as http:
                for _ in range(self._max_redirects):
                    response = await http.get(checked_url(url, "The authorization endpoint"))
                    if "location" not in response.headers:
                        raise LoginError(f"{url.partition('?')[0]} asks a user: status {response.status_code}")
                    url = str(response.url.join(response.headers["location"]))
                    if url.partition("?")[0] == self._redirect_uri:
                        return _parameters(urlsplit(url).query)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LoginError(f"{url.partition('?')[0]} can't be reached: {error}") from None
        raise LoginError("The authorization endpoint redirects in circles")

    async def close(self) -> None:
        pass


def _parameters(query: str) -> dict[str, str]:
    """A parameter that is given twice is no answer (RFC 6749, 3.1), nor are very many."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else {}


def _in_thread(function: Callable[[str], object], text: str) -> asyncio.Future[object]:
    """What the function returns; its thread does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()

    def settle(result: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function(text)
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:  # the loop has ended meanwhile
            pass

    threading.Thread(target=work, daemon=True).start()
    return future


def _port_of(redirect_uri: str | None) -> int | None:
    try:
        return urlsplit(redirect_uri).port if redirect_uri else None
    except ValueError:
        return None


def _listening(host: str, port: int | None, before: int | None) -> list[socket.socket]:
    """Sockets on one port: a browser may take either address of "localhost", so nobody else may have one of them."""
    addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host.strip("[]")]
    wanted = [port] if port else [before or 0, 0, 0]
    failure: OSError | None = None
    for attempt in wanted:
        sockets: list[socket.socket] = []
        try:
            for address in addresses:
                same = sockets[0].getsockname()[1] if sockets else attempt
                try:
                    sockets.append(_listen(address, same))
                except OSError as error:
                    if not sockets or error.errno == errno.EADDRINUSE:
                        raise
                    # This machine has no such address.
            return sockets
        except OSError as error:
            for each in sockets:
                each.close()
            failure = error
    raise LoginError(f"The port {port or 'any'} for the answer to the login can't be used: {failure}")


def _listen(address: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # the port of a login a moment ago; elsewhere the option would let others share it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(8)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
