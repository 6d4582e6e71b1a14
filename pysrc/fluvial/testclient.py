"""TestClient: httpx's client for an app in this process. Needs httpx or httpx2."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urljoin

from ._loop import Loop
from ._testing.exchange import Exchange
from ._testing.http_side import Broken, read_body, read_head, write_request
from ._testing.portal import HerePortal, Portal
from ._testing.ws_session import WebSocketTestSession
from ._testing.ws_side import make_key
from .exceptions import WebSocketDisconnect
from .websockets import POLICY_VIOLATION

if TYPE_CHECKING:
    import http.client

    import httpx
else:
    try:
        import httpx2 as httpx  # what Starlette's client prefers: one program gets one kind
    except ModuleNotFoundError:
        try:
            import httpx
        except ModuleNotFoundError:
            raise ImportError(
                "fluvial.testclient needs httpx: pip install httpx", name="httpx"
            ) from None

__all__ = ["AsyncClient", "TestClient", "WebSocketDenialResponse", "WebSocketTestSession"]

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class WebSocketDenialResponse(httpx.Response, WebSocketDisconnect):  # type: ignore[misc]
    """Raised when the app declines a WebSocket with an HTTP response."""

    code = 1000
    reason = ""


class TestClient(httpx.Client):
    """A client whose requests go to `app`, through the server's own HTTP parser and routing.

    `app` is a Fluvial, ASGI or WSGI app. It runs on a loop of Fluvial's in another thread: within
    `with TestClient(app) as client` for the whole block, with its lifespan, and otherwise for each
    request anew, without lifespan; requests and WebSockets that overlap share it. A request has
    come to its end, background tasks and clean-ups included, when the method that sends it returns.

    An exception that the app doesn't handle is raised here, unless `raise_server_exceptions` is
    false: then the response has the status 500. `client` is the address that the app sees. A
    response that a Jinja2 template has made has it as `template`, and its values as `context`.
    """

    __test__ = False

    def __init__(
        self,
        app: Any,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        backend: str = "asyncio",
        backend_options: dict[str, Any] | None = None,
        cookies: Any = None,
        headers: Mapping[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] = ("testclient", 50000),
    ) -> None:
        if backend != "asyncio":
            raise ValueError(f"TestClient: the app runs on asyncio, not on {backend!r}")
        self.app = app
        self.portal: Portal | None = None
        self._passing: Portal | None = None  # for requests outside of `with`, while there are any
        self._passing_users = 0
        self._passing_lock = threading.Lock()
        self._root_path = root_path
        self._takes = raise_server_exceptions
        self._address = client
        super().__init__(
            base_url=base_url,
            headers={"user-agent": "testclient", **(headers or {})},
            follow_redirects=follow_redirects,
            cookies=cookies,
            transport=_Transport(self),
        )

    @property
    def app_state(self) -> dict[str, Any]:
        """What the app's lifespan has yielded."""
        return dict(getattr(self.app, "lifespan_state", {}))

    def __enter__(self) -> Self:
        portal = Portal(self.app, root_path=self._root_path, lifespan=True)
        portal.start()
        self.portal = portal
        return self

    def __exit__(self, *exc_info: Any) -> None:
        portal, self.portal = self.portal, None  # the client can be used again
        if portal is not None:
            portal.stop()

    @contextlib.contextmanager
    def _exchange(self, url: httpx.URL) -> Iterator[Exchange]:
        """A connection for one request, until the app has finished it."""
        with self._running() as portal:
            exchange = Exchange(
                portal,
                client=self._address,
                scheme=url.scheme,
                server=(url.host, url.port or _PORTS.get(url.scheme)),
                takes=self._takes,
            )
            try:
                yield exchange
            except BaseException as exc:
                exchange.finish()
                exchange.raise_failure(instead=exc)
                raise
            exchange.finish()
            exchange.raise_failure()

    @contextlib.contextmanager
    def _running(self) -> Iterator[Portal]:
        if self.portal is not None:
            yield self.portal
            return
        with self._passing_lock:
            if self._passing is None:
                self._passing = Portal(self.app, root_path=self._root_path, lifespan=False)
                self._passing.start()
            portal = self._passing
            self._passing_users += 1
        try:
            yield portal
        finally:
            with self._passing_lock:
                self._passing_users -= 1
                if not self._passing_users:
                    self._passing = None
                    portal.stop()

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **options: Any
    ) -> WebSocketTestSession:
        """A WebSocket to `url`, opened by `with`; `options` are those of httpx's requests, `auth`
        among them.

        Entering raises WebSocketDisconnect when the app doesn't accept it.
        """
        fields = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": make_key(),
            "sec-websocket-version": "13",
        }
        if subprotocols is not None:
            fields["sec-websocket-protocol"] = ", ".join(subprotocols)
        options["headers"] = {**fields, **(options.get("headers") or {})}
        base = self.base_url.copy_with(scheme="wss" if self.base_url.scheme == "https" else "ws")
        auth = options.pop("auth", self.auth)
        request = _signed(self.build_request("GET", urljoin(str(base), url), **options), auth)
        return WebSocketTestSession(
            lambda: self._exchange(request.url),
            request.url.raw_path,
            list(request.headers.raw),
            _refuse,
        )


class AsyncClient(httpx.AsyncClient):
    """The same for tests that await: `async with AsyncClient(app) as client`.

    Within the block the app runs on the test's own loop if that is a `fluvial.Loop`, so that both
    can use what belongs to a loop; otherwise, and outside of the block, on one in another thread.
    A request's body is sent as a whole.
    """

    def __init__(
        self,
        app: Any,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        cookies: Any = None,
        headers: Mapping[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] = ("testclient", 50000),
    ) -> None:
        self.app = app
        self._root_path = root_path
        self._inner = TestClient(
            app, base_url, raise_server_exceptions, root_path=root_path, client=client
        )
        super().__init__(
            base_url=base_url,
            headers={"user-agent": "testclient", **(headers or {})},
            follow_redirects=follow_redirects,
            cookies=cookies,
            transport=_AsyncTransport(_Transport(self._inner)),
        )

    async def __aenter__(self) -> Self:
        if isinstance(asyncio.get_running_loop(), Loop):
            portal = HerePortal(self.app, root_path=self._root_path, lifespan=True)
            await portal.begin()
            self._inner.portal = portal
        else:
            await asyncio.to_thread(self._inner.__enter__)
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        portal = self._inner.portal
        await self.aclose()
        if isinstance(portal, HerePortal):
            self._inner.portal = None
            await portal.end()
        await asyncio.to_thread(self._inner.__exit__, *exc_info)


def _refuse(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Exception:
    denial = WebSocketDenialResponse(status, headers=headers, content=body)
    if status == 422:
        denial.code = POLICY_VIOLATION  # as the close frame of an accepted one
    return denial


def _signed(request: httpx.Request, auth: Any) -> httpx.Request:
    """The request as it is sent first with `auth`: a tuple, a function or an object of httpx's."""
    if isinstance(auth, tuple):
        auth = httpx.BasicAuth(*auth)
    if isinstance(auth, httpx.Auth):
        return next(auth.sync_auth_flow(request))
    signed: httpx.Request = request if auth is None else auth(request)
    return signed


class _Transport(httpx.BaseTransport):
    def __init__(self, client: TestClient) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with contextlib.ExitStack() as stack:
            exchange = stack.enter_context(self._client._exchange(request.url))
            with _as_httpx():
                write_request(
                    exchange.socket,
                    request.method,
                    request.url.raw_path,
                    request.headers.raw,
                    request.stream,  # type: ignore[arg-type]  # a sync client has sync streams
                )
                raw = stack.enter_context(read_head(exchange.socket, request.method))
            exchange.keep_open()
            response: Any = httpx.Response(
                raw.status,
                headers=[(n.encode(), v.encode("latin-1")) for n, v in raw.getheaders()],
                stream=_Stream(raw, stack.pop_all()),
                request=request,
                extensions={"http_version": b"HTTP/1.1", "reason_phrase": raw.reason.encode()},
            )
            if exchange.template is not None:
                response.template, response.context = exchange.template
            return cast("httpx.Response", response)


class _Stream(httpx.SyncByteStream):
    """A response's body; closing it waits for the app and raises what the app has raised."""

    def __init__(self, raw: http.client.HTTPResponse, stack: contextlib.ExitStack) -> None:
        self._raw = raw
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from read_body(self._raw)

    def close(self) -> None:
        self._stack.close()


class _AsyncTransport(httpx.AsyncBaseTransport):
    """Talks to the app in threads, while the loop is free to serve it."""

    def __init__(self, sync: _Transport) -> None:
        self._sync = sync

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream = httpx.ByteStream(await request.aread())
        whole = httpx.Request(request.method, request.url, headers=request.headers, stream=stream)
        response = await asyncio.to_thread(self._sync.handle_request, whole)
        response.stream = _AsyncStream(response.stream)
        response.request = request
        return response


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, sync: Any) -> None:
        self._sync = sync

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._sync)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece

    async def aclose(self) -> None:
        await asyncio.to_thread(self._sync.close)


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except Broken as exc:
        raise httpx.RemoteProtocolError(str(exc)) from exc
