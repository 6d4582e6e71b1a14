"""Types of the C extension. A test compares this file with the module."""

import asyncio
import os
import socket
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from typing import Any, Final, Protocol, final

# ---- app: routing and plans ---------------------------------------------------------------

INLINE: Final = 0  # call on the loop, at once
TASK: Final = 1  # await in an asyncio task
POOL: Final = 2  # call in the thread pool

PATH: Final = 0
QUERY: Final = 1
HEADER: Final = 2
COOKIE: Final = 3
BODY: Final = 4
REQUEST: Final = 5

STR: Final = 0
INT: Final = 1
FLOAT: Final = 2
BOOL: Final = 3
PYTHON: Final = 4

BODY_DISCARD: Final = 0
BODY_COLLECT: Final = 1
BODY_STREAM: Final = 2

# ---- app: the guard over a process that is to end ------------------------------------------

def guard_open(patience: float, urgency: float, parent: int = 0, error: int = 2, /) -> None:
    """Opens the guard of this process: from now on the first SIGINT or SIGTERM ends it after
    `patience` seconds, a second SIGINT after `urgency`, whatever its threads do. Python's handlers
    for the two, which must have been set before, are called as well.

    `parent` is the pid of a worker's supervisor, whose SIGINT counts as a second one, and whose end
    counts as SIGTERM. `error` is the descriptor for a last word, or -1. Raises: RuntimeError when
    there is a guard; OSError."""

def guard_close() -> None:
    """Closes the guard, if there is one; no deadline remains."""

def guard_note(number: int, /) -> bool:
    """Called by Python's handlers: whether the end at once has been asked for."""

def guard_deadline(seconds: float, replace: bool = False, /) -> None:
    """Has the process end after `seconds`, if it isn't to end earlier; with `replace` in any
    case."""

def guard_patience(seconds: float, /) -> None:
    """What the first signal sets as the deadline."""

def signal_is_default(number: int, /) -> bool:
    """Whether the system's default is what happens, whoever has set it. Raises: OSError."""

@final
class Param:
    """One argument of a handler and where it comes from.

    `source` is PATH, QUERY, HEADER, COOKIE, BODY or REQUEST. `key` is the index of the capture
    in the pattern for PATH, else the field's name as sent (header names in lower case).
    `loc_name` is the last item of an error's `loc`. `kind` says what the text becomes; for
    PYTHON, and for BODY, `convert` is called: `convert(value)` with a str (a list of str when
    `many`), or `convert(body, content_type)` with bytes and `str | None` for BODY; it raises
    RequestValidationError, whose `loc`s are complete, or HTTPException. With `many` all values of
    a name make a list. `default` stands for an absent value unless `required`; BODY's `convert`
    decides itself, it is called for an empty body too. With a BODY param a request whose Content-
    Encoding is not identity is refused with 415. With `defer` a failure doesn't refuse the
    request: the argument becomes the RequestValidationError instead (so that dependencies that
    come earlier may speak first).
    """
    def __init__(
        self,
        source: int,
        key: str | int,
        loc_name: str,
        *,
        kind: int = 0,
        many: bool = False,
        required: bool = True,
        default: object = None,
        convert: Callable[..., object] | None = None,
        defer: bool = False,
    ) -> None: ...

@final
class Plan:
    """How one route is answered: compiled once, executed in C for every request.

    `params` are the positional arguments in order, the last `len(kwnames)` of them passed by
    keyword. `status_code` and `wrap` apply to results that are not Response objects:
    `wrap(result)` makes a Response of one; without it the result is JSON, by `encode(result) ->
    bytes`. `info` is kept for Python's own use.
    """
    def __init__(
        self,
        handler: Callable[..., Any],
        *,
        kind: int,
        params: tuple[Param, ...] = (),
        kwnames: tuple[str, ...] = (),
        body: int = BODY_DISCARD,
        body_limit: int | None = None,
        status_code: int = 200,
        encode: Callable[[Any], bytes] | None = None,
        wrap: Callable[[Any], Any] | None = None,
        info: object = None,
    ) -> None: ...
    @property
    def handler(self) -> Callable[..., Any]: ...
    @property
    def kind(self) -> int: ...
    @property
    def info(self) -> Any: ...
    @property
    def body(self) -> int: ...
    @property
    def body_limit(self) -> int: ...  # bytes; -1: the server's
    def bind(self, request: Request) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for the handler. Raises: RequestValidationError, HTTPException."""
    def respond(self, request: Request, result: object) -> Any:
        """`result` as a Response object: itself when it is one, else as `wrap` or `encode` say."""

@final
class Router:
    """The routing table."""
    def add(self, methods: tuple[str, ...], pattern: str, plan: Plan) -> None:
        """Raises: ValueError for a malformed pattern or an unknown method, naming the place."""
    def find(self, method: str, path: str) -> tuple[str, Plan | None, tuple[str, ...]]:
        """What a request would get: ("found", plan, captures), ("not_found", None, ()),
        ("method_not_allowed", None, allowed methods, sorted) or ("redirect_slash", None, ())."""

class Request:
    """The request as C sees it; `fluvial.Request` derives from it. Never made by users."""

    method: str
    path: str  # percent-decoded
    raw_path: bytes  # as sent, without the query
    query_string: bytes
    http_version: str  # "1.0" or "1.1"
    raw_headers: list[tuple[bytes, bytes]]  # names in lower case, in order of arrival
    @property
    def client(self) -> tuple[str, int] | None: ...
    @property
    def server(self) -> tuple[str, int | None] | None: ...
    path_params: dict[str, str]  # the captures as text; a fresh dict, replaceable
    app: Any  # Server's `app` argument
    state: Any  # None until Python sets it
    _cache: dict[str, Any] | None  # Python's own
    plan: Plan | None  # of the matched route
    route_status: int  # 200 when a route matched, else 404, 405 or 307
    route_headers: list[tuple[bytes, bytes]]  # Allow or Location that go with route_status
    @property
    def disconnected(self) -> bool:
        """The client has gone away, or sends nothing more and probably has."""
    @property
    def is_secure(self) -> bool:
        """Whether the request came through TLS of this server's own."""
    @property
    def tls(self) -> dict[str, Any] | None:
        """What is known of the connection's TLS, as ASGI's "TLS Extension" has it; None without
        TLS, or when it is first asked for after the client has gone."""
    def header(self, name: str, default: str | None = None) -> str | None:
        """The first field of that name (case-insensitive), decoded as latin-1."""
    def read(self) -> Awaitable[bytes]:
        """The next piece of the body; b"" at its end, every time. Raises ClientDisconnect.
        With a collected body the whole of it comes as one piece."""
    def until_gone(self) -> Awaitable[None]:
        """Waits until the client has left (see `disconnected`), or the answer is over."""
    def body_nowait(self) -> bytes | None:
        """The whole body when it was collected (always, for `def` handlers), else None."""

class WebSocket(Request):
    """A WebSocket as C sees it; `fluvial.WebSocket` derives from it. Never made by users.

    Messages are sent in the call; awaiting what it returns waits while the client is slow. All
    raise RuntimeError before accept(), after close(), and in other threads than the loop's, and
    WebSocketDisconnect when the client has gone.
    """

    session_state: int  # 0: not accepted, 1: open, 2: close() was called, 3: closed
    by_client: bool  # the end was not ours
    close_code: int  # 0 before the end
    close_reason: str | None
    subprotocols: list[str]  # that the client offers, in its order
    def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Completes the opening handshake. Raises: ValueError for what can't be sent."""
    def receive_data(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message, whatever its kind."""
    def receive_text(self) -> Coroutine[Any, Any, str]:
        """The next message. Raises: WebSocketException (1003) when it is bytes."""
    def receive_bytes(self) -> Coroutine[Any, Any, bytes]:
        """The next message. Raises: WebSocketException (1003) when it is text."""
    def send_text(self, data: str) -> Coroutine[Any, Any, None]:
        """Sends a text message."""
    def send_bytes(self, data: bytes | bytearray | memoryview) -> Coroutine[Any, Any, None]:
        """Sends a binary message."""
    def send_utf8(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Sends a text message that is UTF-8 already."""
    def close(self, code: int = 1000, reason: str | None = None) -> Coroutine[Any, Any, None]:
        """Begins the close handshake, with 1005 without a code; before accept() declines with 403.
        Does nothing when it is closed already. Raises: ValueError for a code that must not be sent
        or a reason of more than 123 bytes."""

@final
class Sender:
    """Writes one streamed answer; given to `Response.respond`."""
    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        """Begins the answer. `length` in bytes, -1 when unknown. Raises: RuntimeError when begun
        already, ValueError for a malformed header field, OSError when the client is gone."""
    def send(self, data: bytes) -> Awaitable[None]:
        """Writes a piece; suspends while the client is slow. Raises: OSError when it is gone."""
    def send_file(self, fd: int, offset: int, size: int, /) -> Awaitable[int]:
        """Has the kernel send a part of a file: the bytes sent. When they are fewer than asked for
        it can't send the others, which are then to be read. Cancelled, it breaks the answer off.
        Raises: OSError when the client is gone."""
    def whole(self, status_code: int, headers: list[tuple[bytes, bytes]], body: bytes, /) -> None:
        """Writes the whole answer, which is complete then. Raises: as start()."""
    def end(self) -> None:
        """Completes the answer."""
    @property
    def started(self) -> bool: ...

@final
class Pool:
    """The thread pool for `def` handlers. `threads` at most; `queue` jobs wait at most."""
    def __init__(
        self, loop: Loop, *, threads: int = 64, queue: int = 16384, idle_seconds: int = 10
    ) -> None: ...
    def submit(
        self, context: Context | None, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Runs `func` on a worker inside `context` (a copy of the current one when None).
        Raises: RuntimeError when the queue is full or the pool closed."""
    def close(self, timeout: float = 10.0) -> None:
        """Takes no more jobs, finishes those there are and ends the threads. Blocks for at most
        `timeout` seconds: past it, futures are cancelled and threads still in a job left behind."""
    def stats(self) -> dict[str, int]:
        """threads, busy, queued, pending, limit, peak_threads, jobs (begun, ever)."""

class ResponseProtocol(Protocol):
    """What C asks of a Response object (an instance of Server's `response_type`)."""

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]  # content-type included; content-length optional
    body: bytes | None  # None: streamed by respond()
    async def respond(self, request: Request, sender: Sender) -> None:
        """Called for `body is None` only: sender.start(), sender.send() …; C calls sender.end()
        when the coroutine has not."""

@final
class SecureContext:
    """What a server's TLS is set up with, from files in PEM form.

    `certfile` has the certificate, and those up to an authority's, if any; `keyfile` its private
    key. `verify` is a ssl.VerifyMode: whether clients are asked for certificates, which those of
    `ca_certs` must have signed. `ciphers` is OpenSSL's list for TLS 1.2; TLS 1.3 has its own.

    Raises: ValueError with the file's name and the reason.
    """
    def __new__(
        cls,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        *,
        password: str | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
        verify: int = 0,
        ciphers: str | None = None,
    ) -> SecureContext: ...

@final
class Server:
    """The HTTP server of one loop.

    `on_error(request, exc)` makes a Response (or an awaitable of one) of an exception from a
    handler or from binding its arguments. `entry`, when given, is a coroutine function that
    answers every request (`await entry(request) -> Response`): the outermost middleware.
    `custom_errors` tells that 404 and 405 have handlers of the user's: they then go through
    on_error as HTTPException. With `entry` a body that the plan discards is streamed instead, so
    that a middleware can read it. `root` answers all requests in the place of the routes;
    `mounts` answer those below their prefixes that no route takes, the first that fits; with
    `entry` only WebSockets.

    An exception out of `respond` goes to on_error, whose Response is written unless the answer
    has begun: then the connection is closed. `respond` is awaited also when the client is gone,
    since it may have to clean up; while it is
    suspended, a client that goes away cancels its task. `validation_error(errors)` takes a list
    of error dicts; `.errors()` gives it back; `.body` can be set. An `http_exception` has
    `status_code`, `detail` and `headers` (a dict of str, or None). A result that `encode` refuses
    (an exception) is given to `encode_fallback` before it is an error.

    `websockets` are the routes of WebSocket handlers; the type of their connections; the exceptions
    for a connection that is closed and for a message of the wrong kind, both made of (code,
    reason); `run(websocket, coroutine)`, which awaits a handler, ends the connection, and returns a
    Response when it was declined; and `later(loop, func, *args)`, as for AsgiApp. `ws_origins`:
    those whose pages may open them, separated by spaces; `same` is the request's host; empty: all.

    With `secure` all connections speak TLS. `on_refused(host, status, reason, limit)` is called for
    what a client was refused: `status` is that of the response, the close code of a WebSocket, or 0
    when the TLS handshake has failed; `limit` the name of the limit that was exceeded, or None.
    """
    def __init__(
        self,
        loop: Loop | None,  # None, and no pool: for adopt() alone
        router: Router,
        pool: Pool | None,
        *,
        app: object,
        request_type: type[Request],
        response_type: type,
        validation_error: type[Exception],
        http_exception: type[Exception],
        client_disconnect: type[Exception],
        encode: Callable[[Any], bytes],  # msgspec's own Encoder().encode, for speed
        encode_fallback: Callable[[Any], bytes] | None = None,
        on_error: Callable[[Request, BaseException], Any],
        entry: Callable[[Request], Coroutine[Any, Any, Any]] | None = None,
        custom_errors: bool = False,
        root: AsgiApp | WsgiApp | None = None,
        mounts: tuple[tuple[str, AsgiApp | WsgiApp], ...] = (),
        limits: dict[str, int] | None = None,
        access_log: int = -1,
        websockets: tuple[
            Router,
            type[WebSocket],
            type[Exception],
            type[Exception],
            Callable[[WebSocket, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]],
            Callable[..., Coroutine[Any, Any, Any]],
        ]
        | None = None,
        ws_origins: str = "",
        secure: SecureContext | None = None,
        on_refused: Callable[[str, int, str, str | None], None] | None = None,
    ) -> None: ...
    def listen(self, fd: int, *, unix: bool = False, backlog: int = 2048) -> None:
        """Takes over the bound socket `fd` and accepts connections. Raises: OSError."""
    def drain(self) -> asyncio.Future[None]:
        """Stops accepting; done when what was under way is finished and the last connection
        closed."""
    def abort(self) -> asyncio.Future[None]:
        """Closes every connection now."""
    def adopt(
        self,
        method: str,
        minor: int,
        path: str,
        raw_path: bytes,
        query_string: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        websocket: bool = False,
        /,
    ) -> Any:
        """The Request for one that another server has received, for HTTP/1.minor; its route is
        found. For an offer of a `websocket` it is one of the type in `websockets`, which brings
        its own methods for accepting, messages and closing. release() must follow.
        Raises: ValueError for an unknown method."""
    def collect(self, request: Request, body: bytes, /) -> None:
        """Adds to the collected body of an adopted request."""
    def release(self, request: Request, /) -> None:
        """The adopted request or WebSocket is over."""
    def close(self) -> None:
        """Releases the drained server."""
    def stats(self) -> dict[str, int]: ...

@final
class AsgiApp:
    """An ASGI 3 application, for Server's `root`.

    The scope's root_path is `root_path + prefix`; `root_path` stands before every path.
    `extensions` are what scopes offer. `report(text, exc)` logs a request that the app has left
    without a complete answer. `extend(send, copy, message)` does what a message about a file asks
    for, by sending others or with `copy(descriptor, offset, size, more)`, which awaits that the
    kernel has sent a part of a file as a part of the body, as Sender.send_file. `send` raises
    `gone_error` when the client has gone away. `later(loop, func, *args)` is the coroutine that
    `receive` and `send` give in another thread than the loop's; it calls them and awaits the
    result. `recover(request, send, exc)` is asked when the app raises before its answer has begun:
    it gives a coroutine that sends one, or None.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        root_path: str,
        prefix: str,
        scheme: str,
        extensions: dict[str, Any],
        report: Callable[[str, BaseException | None], None],
        extend: Callable[..., Awaitable[None]],
        gone_error: type[OSError],
        later: Callable[..., Coroutine[Any, Any, Any]],
        recover: Callable[..., Coroutine[Any, Any, None] | None],
    ) -> None: ...
    @property
    def app(self) -> Callable[..., Awaitable[None]]: ...
    state: dict[str, Any] | None  # what every scope["state"] is a copy of

@final
class WsgiApp:
    """A WSGI application, for Server's `root`.

    `environ` is what the environs of all requests begin with; `prefix` is taken away from the
    beginning of their paths. `report(text, exc)` logs a request
    that the app has left without a complete answer; any thread may call it. `file_type` is the type
    of `wsgi.file_wrapper`, `file_facts` gives the descriptor, position and size of a file in one,
    or None when it can't be sent by descriptor.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        environ: dict[str, Any],
        prefix: str,
        report: Callable[[str, BaseException | None], None],
        file_type: type[Any],
        file_facts: Callable[[Any], tuple[int, int, int] | None],
    ) -> None: ...
    @property
    def app(self) -> Callable[..., Iterable[bytes]]: ...

@final
class WsgiInput:
    """The body of a request to a WSGI app, to be read as a file.

    Reading waits for the client. Raises: ConnectionResetError when the client goes away before
    the body is complete, or when the answer was before all of the body had arrived.
    """

    def read(self, size: int | None = -1, /) -> bytes: ...
    def readline(self, size: int | None = -1, /) -> bytes: ...
    def readlines(self, hint: int | None = -1, /) -> list[bytes]: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...

@final
class WsgiCall:
    """A request to a WSGI app."""

# ---- loop: the event loop and its transports ----------------------------------------------

class Handle:
    """A callback that waits to be called, as `asyncio.Handle`; isinstance says it is one."""

    def cancel(self) -> None: ...
    def cancelled(self) -> bool: ...
    def get_context(self) -> Context: ...
    def _run(self) -> None: ...
    def _repr_info(self) -> list[str]: ...
    _args: tuple[Any, ...] | None
    _callback: Callable[..., object] | None
    _cancelled: bool
    _context: Context
    _loop: Loop
    _repr: str | None
    _source_traceback: traceback.StackSummary | None

@final
class TimerHandle(Handle):
    """As `asyncio.TimerHandle`."""

    def when(self) -> float: ...
    def _repr_info(self) -> list[str]: ...
    _when: float
    _scheduled: bool

class RequestCoro(Coroutine[Any, Any, None]):
    """What the task of a request runs."""

    def send(self, value: Any, /) -> Any: ...
    def throw(self, *args: Any) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any]: ...
    cr_await: Any
    cr_code: Any
    cr_frame: Any
    cr_origin: Any
    cr_running: bool
    cr_suspended: bool

@final
class HandlerCoro(RequestCoro):
    """A handler, then whatever its answer takes."""

class AsgiCall(RequestCoro):
    """A request to an ASGI app."""

@final
class AsgiSocket(AsgiCall):
    """A WebSocket of an ASGI app."""

@final
class SocketOp(Coroutine[Any, Any, Any]):
    """What sock_recv(), sock_recv_into() and sock_sendall() await."""

    def send(self, value: Any, /) -> Any: ...
    def throw(self, *args: Any) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any, Any]: ...

class Loop:
    """The hot part of `fluvial.Loop`, which joins it with asyncio's own loop class."""

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any: ...
    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any: ...
    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any: ...
    def time(self) -> float: ...
    def create_future(self) -> asyncio.Future[Any]: ...
    def create_task(self, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> Any: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def _check_closed(self) -> None: ...
    def _forked(self) -> None: ...
    def _run(self) -> None:
        """Runs iterations until stop()."""
    def _shut(self) -> None:
        """Closes whatever libuv has open, and its loop."""
    def _receive(self, sock: Any, n: int) -> Awaitable[bytes]: ...
    def _receive_into(self, sock: Any, buf: Any) -> Awaitable[int]: ...
    def _send_all(self, sock: Any, data: Any) -> Awaitable[None]: ...
    def _add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> Handle: ...
    def _add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> Handle: ...
    def _remove_reader(self, fd: Any) -> bool: ...
    def _remove_writer(self, fd: Any) -> bool: ...
    def _watched(self, fd: Any) -> tuple[Handle | None, Handle | None]:
        """The handles of the descriptor's reader and writer."""
    def _held(self) -> list[Any]:
        """The objects whose libuv handles are open, oldest first."""
    _closed: bool
    _current_handle: Handle | None
    _debug: bool
    _stopping: bool
    _task_factory: Callable[..., Any] | None
    _thread_id: int | None

class Acceptor:
    """Takes the connections of a listening socket, at most `backlog` at once. Each gets a protocol
    from `factory` and a transport that `server` knows."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        backlog: int,
        factory: Callable[[], asyncio.BaseProtocol],
        server: Any,
        /,
    ) -> None: ...
    def start(self) -> None:
        """Accepts whatever comes, until stop()."""
    def stop(self) -> None: ...
    sock: socket.socket
    watching: bool

class StreamTransport(asyncio.Transport):
    """A connected stream socket. libuv owns `fd` from then on, and Python never sees it again.
    `sock` is the user's socket, of which `fd` is a duplicate; None when the loop made it.
    `waiter` is resolved after connection_made()."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        sock: socket.socket | None,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any] | None,
        server: Any,
        /,
    ) -> None: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_reading(self) -> bool: ...
    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def writelines(self, list_of_data: Iterable[Any]) -> None: ...
    def write_eof(self) -> None: ...
    def can_write_eof(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...
    def get_protocol(self) -> asyncio.BaseProtocol: ...
    def _begin(self, waiter: asyncio.Future[None] | None) -> None: ...
    def _call_connection_lost(self, exc: BaseException | None) -> None: ...
    def _dup(self) -> int:
        """A duplicate of the descriptor, the caller's."""
    def _owns(self, number: int) -> bool:
        """Whether the descriptor of the transport's socket object is still the connection's."""
    def _force_close(self, exc: BaseException | None) -> None: ...
    def _make_empty_waiter(self) -> asyncio.Future[None]: ...
    def _reset_empty_waiter(self) -> None: ...
    _loop: Loop
    _protocol_paused: bool
    _sendfile_compatible: Any
    _start_tls_compatible: bool

class TlsProtocol:
    """TLS for asyncio, as far as nothing goes wrong; `fluvial._loop.tls.SSLProtocol` derives from
    it and from asyncio's SSLProtocol, whose attributes these are,
    all but `_records` and `_write`."""

    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes | bytearray | memoryview) -> None: ...
    def eof_received(self) -> bool: ...
    def _call_eof_received(self) -> None: ...
    def _do_flush(self) -> None: ...
    def _do_handshake(self) -> None: ...
    def _do_read(self) -> None: ...
    def _do_shutdown(self) -> None: ...
    def _process_outgoing(self) -> None: ...
    def _set_state(self, new_state: Any) -> None: ...
    def _start_shutdown(self) -> None: ...
    def _write(self, data: bytes | bytearray | memoryview) -> None:
        """`write` of the application's transport."""
    _app_protocol: Any
    _app_protocol_is_buffer: bool
    _app_reading_paused: bool
    _app_state: Any
    _app_transport: Any
    _app_writing_paused: bool
    _eof_received: bool
    _handshake_timeout_handle: Any
    _incoming: Any
    _incoming_high_water: int
    _incoming_low_water: int
    _loop: Any
    _outgoing: Any
    _outgoing_high_water: int
    _outgoing_low_water: int
    _records: Any  # has read, write and pending of ssl.SSLObject
    _server_side: bool
    _shutdown_timeout_handle: Any
    _ssl_handshake_timeout: float
    _ssl_reading_paused: bool
    _ssl_shutdown_timeout: float
    _ssl_writing_paused: bool
    _state: Any
    _transport: Any
    _waiter: Any
    _write_buffer_size: int

class Endpoint(asyncio.BaseTransport):
    """A transport over a descriptor that stays a Python file's; base of those below."""

    def close(self) -> None: ...
    def is_closing(self) -> bool: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...
    def get_protocol(self) -> asyncio.BaseProtocol: ...
    def _begin(self, waiter: asyncio.Future[None] | None) -> None: ...
    def _call_connection_lost(self, exc: BaseException | None) -> None: ...
    _fileno: int
    _loop: Loop

@final
class DatagramTransport(Endpoint, asyncio.DatagramTransport, asyncio.Transport):
    """A datagram socket of the family AF_INET, AF_INET6 or AF_UNIX. With an `address`, sendto()
    takes no other. `extra` tells whether the socket is connected: then it has a "peername".
    `waiter` is resolved after connection_made()."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        family: int,
        protocol: asyncio.BaseProtocol,
        address: Any,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any],
        /,
    ) -> None: ...
    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_reading(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def abort(self) -> None: ...
    _sock: socket.socket | None

@final
class ReadPipeTransport(Endpoint, asyncio.ReadTransport):
    """The readable end of a pipe, a socket or a character device. Raises: ValueError for other
    files."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any],
        /,
    ) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_reading(self) -> bool: ...
    def _read_ready(self) -> None: ...
    _pipe: Any

@final
class WritePipeTransport(Endpoint, asyncio.Transport):
    """The writable end of a pipe, a socket or a character device. Raises: ValueError for other
    files."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any],
        /,
    ) -> None: ...
    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def write_eof(self) -> None: ...
    def can_write_eof(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def abort(self) -> None: ...
    _pipe: Any
