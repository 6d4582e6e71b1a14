"""Requests as handlers see them: the C type, with views of its parts and of the body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, KeysView
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _core
from ._forms.limits import DEFAULTS, UNLIMITED, FormLimits
from ._messages.cookies import parse_cookies
from ._validation.read_json import read_json
from .datastructures import URL, Address, Headers, QueryParams, State
from .exceptions import ClientDisconnect, HTTPException

if TYPE_CHECKING:
    from typing import Self

    from ._asgi.protocol import Message, Receive, Send
    from ._forms.parts import Part
    from .datastructures import FormData, URLPath

__all__ = ["ClientDisconnect", "HTTPConnection", "Request"]

T = TypeVar("T")
_client = cast("Any", _core.Request.client)
_state = cast("Any", _core.Request.state)
# What makes a request of a scope: maker(class, scope, receive, send). _asgi/connections.py, which
# knows the classes for that, puts it here.
makers: list[Callable[..., Any]] = []


class HTTPConnection(_core.Request):
    """A request or a WebSocket, for dependencies that are used with both.

    ASGI middleware may make one of its scope, with `receive` and `send` if it needs the body or
    the messages: `Request(scope, receive)`.
    """

    _scheme = "http"  # "s" is appended if this server uses TLS
    # Set when ASGI middleware, or another server, has received the request.
    _scope: Message | None = None

    def __new__(
        cls, scope: Message, receive: Receive | None = None, send: Send | None = None
    ) -> Self:
        """The request of an ASGI scope. Raises: TypeError for another type of scope."""
        return cast("Self", makers[0](cls, scope, receive, send))

    def __init__(
        self, scope: Message, receive: Receive | None = None, send: Send | None = None
    ) -> None:
        pass  # made already; for super().__init__() in classes that derive

    @property
    def scope(self) -> Message:
        """The request as an ASGI scope; what middleware has put there is there."""
        return (
            self._cached("scope", lambda: _make_scope(self)) if self._scope is None else self._scope
        )

    @property
    def session(self) -> dict[str, Any]:
        """The session. Raises: RuntimeError without SessionMiddleware."""
        session = self._put_by("session", "SessionMiddleware")
        if hasattr(session, "mark_accessed"):
            session.mark_accessed()
        return cast("dict[str, Any]", session)

    @property
    def user(self) -> Any:
        """The client's user. Raises: RuntimeError without AuthenticationMiddleware."""
        return self._put_by("user", "AuthenticationMiddleware")

    @property
    def auth(self) -> Any:
        """What the user may do. Raises: RuntimeError without AuthenticationMiddleware."""
        return self._put_by("auth", "AuthenticationMiddleware")

    def _put_by(self, key: str, middleware: str) -> Any:
        if self._scope is None or key not in self._scope:
            raise RuntimeError(f"request.{key} needs app.add_middleware({middleware}, …)")
        return self._scope[key]

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return key in self.scope

    def get(self, key: str, default: Any = None) -> Any:
        """The scope's entry."""
        return self.scope.get(key, default)

    def keys(self) -> KeysView[str]:
        """The names of the scope's entries."""
        return self.scope.keys()

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self._cached("headers", lambda: Headers(raw=self.raw_headers))

    @property
    def query_params(self) -> QueryParams:
        """The query, decoded."""
        return self._cached("query_params", lambda: QueryParams(self.query_string))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the client sent."""
        return self._cached("cookies", self._parse_cookies)

    @property
    def url(self) -> URL:
        """The URL that the client requested, with the host of the Host field."""
        return self._cached("url", self._make_url)

    @property
    def base_url(self) -> URL:
        """The URL of the app's root."""
        return self.url.replace(path=f"{self._root_path}/", query="", fragment="")

    @property
    def _root_path(self) -> str:
        """What a proxy in front has before the app's paths."""
        return self._forwarded_prefix or getattr(self.app, "served_root", "")

    def url_for(self, name: str, /, **path_params: Any) -> URL:
        """The absolute URL of the app's route with this name and these parameters.

        Raises: NoMatchFound when no route has this name and these parameters, ValueError or
        TypeError for a value that can't stand in the path.
        """
        path: URLPath = self.app.url_path_for(name, **path_params)
        return path.make_absolute_url(self.base_url)

    @property
    def client(self) -> Address | None:
        """The client's address."""
        address = _client.__get__(self)
        return None if address is None else Address(*address)

    @property
    def state(self) -> State:
        """The app's data for this request; starts as a copy of what its lifespan yielded.

        With `request_id_header` it has the request's id as `request_id`.
        """
        state = _state.__get__(self)
        if state is None:
            state = State(getattr(self.app, "lifespan_state", None))
            if (given := self._id) is not None:
                state.request_id = given
            _state.__set__(self, state)
        return cast("State", state)

    @property
    def path_params(self) -> dict[str, Any]:  # type: ignore[override]  # not replaceable
        """The values of the path's parameters, converted as the pattern says."""
        return self._cached("path_params", self._convert_path_params)

    def _store(self) -> dict[str, Any]:
        store = self._cache
        if store is None:
            store = self._cache = {}
        return store

    def _cached(self, key: str, make: Callable[[], T]) -> T:
        store = self._store()
        if key not in store:
            store[key] = make()
        return cast("T", store[key])

    def _parse_cookies(self) -> dict[str, str]:
        cookies: dict[str, str] = {}
        for header in self.headers.getlist("cookie"):
            cookies.update(parse_cookies(header))
        return cookies

    def _make_url(self) -> URL:
        host = self.header("host")
        scheme = f"{self._scheme}s" if self.is_secure else self._scheme
        if host is None:
            name, port = self.server or ("localhost", None)
            usual = 443 if scheme.endswith("s") else 80
            host = name if port in (None, usual) else f"{name}:{port}"
        raw_path, root = self.raw_path.decode("latin-1"), self._root_path
        if root and not f"{raw_path}/".startswith(f"{root}/"):  # the proxy has removed it
            raw_path = root + raw_path
        url = f"{scheme}://{host}{raw_path}"
        query = self.query_string
        return URL(f"{url}?{query.decode('latin-1')}" if query else url, path=root + self.path)

    def _convert_path_params(self) -> dict[str, Any]:
        captures = _core.Request.path_params.__get__(self)  # type: ignore[attr-defined]  # a descriptor of C
        info = self.plan.info if self.plan is not None else None
        converters = getattr(info, "converters", {})
        return {
            name: converters[name](text) if name in converters else text
            for name, text in captures.items()
        }


# What of a request is true of those, too, that the server pushes the responses of.
_PUSHED = (b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"user-agent")


class Request(HTTPConnection):
    """One HTTP request.

    `async def` handlers read the body as it arrives. For `def` handlers it has already been read:
    see `body_nowait()`.
    """

    @property
    def receive(self) -> Receive:
        """The body and then the client's end as ASGI events, for `MyRequest(scope, receive)`.

        A body that has been read as a whole comes again; pieces that were read don't.
        """
        return self._cached("receive", lambda: _events_of(self))

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces as they arrive; the last one is empty.

        Raises: ClientDisconnect when the client disconnects before the end of the body,
        RuntimeError when stream() has already consumed it.
        """
        cache = self._store()
        if "body" in cache:
            yield cache["body"]
            yield b""
            return
        if cache.get("streamed"):
            raise RuntimeError("Stream consumed: the body has been read by an earlier stream()")
        while piece := await self.read():
            yield piece
        cache["streamed"] = True
        yield b""

    async def body(self) -> bytes:
        """The whole body.

        Raises: ClientDisconnect when the client disconnects before the end of the body,
        RuntimeError when stream() has already consumed it, HTTPException 413 when it is larger
        than the server or the route allows.
        """
        cache = self._store()
        if "body" not in cache:
            whole = self.body_nowait()
            if whole is None or cache.get("streamed"):
                whole = await self._gathered()
            cache["body"] = whole
        return cast("bytes", cache["body"])

    async def _gathered(self) -> bytes:
        """The pieces of a streamed body. Its size may not have been checked: a form's has another
        limit, since not all of it is in memory at once."""
        limit = self.body_limit
        pieces: list[bytes] = []
        size = 0
        async for piece in self.stream():
            size += len(piece)
            if limit and size > limit:
                raise HTTPException(413, "The body is too large")
            pieces.append(piece)
        return b"".join(pieces)

    async def json(self) -> Any:
        """The body decoded from JSON.

        Raises: json.JSONDecodeError, a ValueError, when it isn't JSON: the response has the status
        422 unless the handler catches the exception; and what `body` raises.
        """
        return self._decode_json(await self.body())

    def json_nowait(self) -> Any:
        """The collected body decoded from JSON, for `def` handlers.

        Raises: json.JSONDecodeError when it isn't JSON, as `json` does.
        """
        return self._decode_json(self.body_nowait() or b"")

    def form(
        self,
        *,
        max_files: float | None = None,
        max_fields: float | None = None,
        max_part_size: float | None = None,
    ) -> FormReading:
        """The form in the body: `await request.form()`, or `async with request.form() as form`.

        It has no fields if Content-Type names no form. Large files are on the disk; all are closed
        after the response, or at the end of the block. The arguments replace limits of the server:
        how many files and fields there may be, and how many bytes in one field.

        Raises: HTTPException 400 when the body isn't well formed, 400 or 413 when it exceeds a
        limit; and what `stream` raises.
        """
        limits = self._form_limits().changed(max_files, max_fields, max_part_size)
        return FormReading(self, limits)

    def parts(self) -> AsyncIterator[Part]:
        """The parts of a multipart form as they arrive: `async for part in request.parts()`.

        Nothing is kept, neither in memory nor on the disk.

        Raises: HTTPException 415 when the body is something else, 400 when it isn't well formed,
        400 or 413 when it exceeds a limit; and what `stream` raises.
        """
        from ._forms.parts import read_parts  # few apps need it

        return read_parts(self, self._form_limits())

    def _form_limits(self) -> FormLimits:
        limits: FormLimits = getattr(self.app, "form_limits", DEFAULTS)
        plan = self.plan
        if plan is not None and plan.body_limit >= 0:
            return replace(limits, size=plan.body_limit or UNLIMITED)
        return limits

    async def _read_form(self, limits: FormLimits) -> FormData:
        cache = self._store()
        if "form" not in cache:
            from ._forms.reading import close_files, read_form  # few apps need it

            try:
                form = await read_form(self, limits)
            except HTTPException as exc:
                if self.app is not None:
                    raise
                from .formparsers import MultiPartException  # of bare ASGI apps

                raise MultiPartException(str(exc.detail), exc.status_code) from exc
            if form.files():
                self._at_end = lambda: close_files(form)
            cache["form"] = form
        return cast("FormData", cache["form"])

    async def close(self) -> None:
        """Closes the files of the form, if it was read. This also happens after the response."""
        form = self._store().get("form")
        if form is not None:
            await form.close()

    async def send_early_hints(self, link: str, /, *links: str) -> None:
        """Sends 103 with Link fields (RFC 8297), unless the response has begun. Within ASGI
        middleware and under other servers that needs a server which offers the extension.

        Raises: ValueError for what no field can hold, RuntimeError for a Request that was made
        without `send`.
        """
        values = [each.encode("latin-1") for each in (link, *links)]
        if self._scope is None:
            self.send_hints([(b"link", value) for value in values])
            return
        await self._tell("http.response.early_hint", {"links": values})

    async def send_push_promise(self, path: str) -> None:
        """Pushes `path` to the client, where the server offers that.

        Raises: RuntimeError for a Request that was made without `send`.
        """
        headers = [each for each in self.raw_headers if each[0] in _PUSHED]
        await self._tell("http.response.push", {"path": path, "headers": headers})

    async def _tell(self, kind: str, content: Message) -> None:
        """Sends an event that the server offers as an extension."""
        if kind not in ((self._scope or {}).get("extensions") or ()):
            return
        send = getattr(self, "_send", None)
        if send is None:
            words = "Send channel has not been made available: write Request(scope, receive, send)"
            raise RuntimeError(words)
        await send({"type": kind, **content})

    async def is_disconnected(self) -> bool:
        """Whether the client has disconnected."""
        return self.disconnected

    def _decode_json(self, body: bytes) -> Any:
        return self._cached("json", lambda: read_json(body))


class FormReading:
    """What `Request.form` returns: to be awaited, or to be entered with `async with`."""

    def __init__(self, request: Request, limits: FormLimits) -> None:
        self._request = request
        self._limits = limits
        self._form: FormData | None = None

    def __await__(self) -> Generator[Any, None, FormData]:
        return self._request._read_form(self._limits).__await__()

    async def __aenter__(self) -> FormData:
        self._form = await self
        return self._form

    async def __aexit__(self, *_: object) -> None:
        if self._form is not None:
            await self._form.close()


def plain_scope(request: HTTPConnection, root_path: str) -> Message:
    """What an ASGI scope says of a request itself, for an app below `root_path`."""
    raw_path, root = request.raw_path, root_path.encode()
    if not (raw_path + b"/").startswith(root + b"/"):  # the proxy has removed it
        raw_path = root + raw_path
    return {
        "type": "http" if request._scheme == "http" else "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version,
        "server": request.server,
        "client": request.client and tuple(request.client),
        "scheme": request.url.scheme,
        "method": request.method,
        "root_path": root_path,
        "path": root_path + request.path,
        "raw_path": raw_path,
        "query_string": request.query_string,
        "headers": list(request.raw_headers),
        "extensions": {} if request.tls is None else {"tls": request.tls},
    }


def _make_scope(request: HTTPConnection) -> Message:
    """The scope of a request that no middleware has given one to."""
    route, params = request.plan and request.plan.info, request.path_params
    scope = {
        **plain_scope(request, request._root_path),
        "app": request.app,
        "state": request.state._items,
    }
    if route is None and getattr(request, "route_status", 0) == 405:  # of another method
        route, params = request.app.find_partial(scope) or (None, params)
    endpoint = getattr(route, "endpoint", None)
    return {**scope, "path_params": params, "route": route, "endpoint": endpoint}


def _events_of(request: Request) -> Receive:
    pieces = request.stream()

    async def receive() -> Message:
        try:
            async for piece in pieces:
                return {"type": "http.request", "body": piece, "more_body": bool(piece)}
            await request.until_gone()
        except ClientDisconnect:
            pass
        return {"type": "http.disconnect"}

    return receive
