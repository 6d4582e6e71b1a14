"""Types of the C extension. A test compares this file with the module."""

import asyncio
import socket
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from typing import Any, Final, Protocol, final

# ---- app: routing and plans ---------------------------------------------------------------

nghttp2_version: Final[str]  # "" without HTTP/2

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

SHAPE_EXACT: Final = 0
SHAPE_INSTANCE: Final = 1
SHAPE_OBJECT: Final = 2
SHAPE_OWN: Final = 3
SHAPE_MODEL: Final = 4
SHAPE_MEMBERS: Final = 5
SHAPE_ITEMS: Final = 6
SHAPE_TUPLE: Final = 7
SHAPE_DICT: Final = 8
SHAPE_UNION: Final = 9

# ---- app: the guard, which terminates a process that doesn't stop in time ------------------

def make_certificate(names: str, days: int, /) -> bytes:
    """A certificate that signs itself and its key, in PEM form, for "DNS:localhost,IP:::1".

    Raises: ValueError when these are none.
    """

def is_plain_json(value: Any, /) -> bool:
    """Whether it consists of dicts with str as keys, lists, tuples, str, int, float, bool and None,
    and is no deeper than 100."""

@final
class Shape:
    """Whether a value is exactly of a declared type, at every depth; made once, asked in C.

    By `kind`: EXACT is a value of one of `classes`, INSTANCE also of a derived one. The others
    contain values, whose shapes `settle` gives: OBJECT one for each attribute of `names`, OWN the
    same if its `__dict__` has no more, MODEL one for each item of the `__dict__`, which must have
    `names` exactly, MEMBERS one for each key of a dict that has no keys but `names`, ITEMS one for
    all items, TUPLE one for each, DICT one for the keys and one for the values, UNION those of
    which one must fit.
    """
    def __init__(
        self, kind: int, classes: tuple[type, ...] = (), names: tuple[str, ...] = ()
    ) -> None: ...
    def settle(self, parts: tuple[Shape | None, ...], /) -> None:
        """Gives it the shapes of what it contains, once; None: anything fits.

        Raises: TypeError or ValueError when they are not such, or not as many as there must be.
        """

    def fits(self, value: Any, /) -> bool:
        """Whether it is of the shape. An attribute that is missing doesn't fit.

        Raises: RecursionError when the value is nested too deeply; what a property raises.
        """

def guard_open(
    patience: float, urgency: float, parent: int = 0, error: int = 2, stacks: int = 0, /
) -> None:
    """Opens the guard of this process. From now on the first SIGINT or SIGTERM terminates the
    process after `patience` seconds, and a second SIGINT after `urgency` seconds, whatever its
    threads do. Python's handlers for both signals are called as well; they must be set before.

    `parent` is the pid of a worker's supervisor. A SIGINT from it counts as a second one, and its
    end counts as SIGTERM. `error` is the descriptor for a final message, or -1; `stacks` is the
    signal whose handler writes the stacks of all threads after it, or 0. Raises: RuntimeError when
    there is a guard already; OSError when a system call fails."""

def guard_close() -> None:
    """Closes the guard, if there is one, and removes its deadline."""

def guard_note(number: int, /) -> bool:
    """To be called by Python's handlers; returns whether the process is to stop at once."""

def guard_deadline(seconds: float, replace: bool = False, /) -> None:
    """Sets the deadline to `seconds` from now, unless there is an earlier one; with `replace` in
    any case."""

def guard_patience(seconds: float, /) -> None:
    """Changes the deadline that the first signal sets, in seconds after that signal."""

def metrics_layout() -> dict[str, int]:
    """Where what stands in the memory of metrics, in words of 8 bytes (ext/http/metrics.h)."""

def metrics_size(slots: int, series: int, /) -> int:
    """How many bytes such memory has."""

def metrics_bounds() -> tuple[int, ...]:
    """The upper bounds of a histogram's buckets, in ns; the last bucket has none."""

def signal_is_default(number: int, /) -> bool:
    """Whether the signal's action is the system's default, also if C code has set it. Raises:
    OSError for an invalid signal."""

@final
class Param:
    """One argument of a handler and where it comes from.

    `source` is PATH, QUERY, HEADER, COOKIE, BODY or REQUEST. `key` is the index of the capture
    in the pattern for PATH, otherwise the name in the request (header names in lower case).
    `loc_name` is the last item of an error's `loc`. With `many`, all values of a name make a list.
    `default` is used for an absent value unless `required`.

    `kind` is the type that the text is converted to. For PYTHON, and when C refuses a text as INT,
    FLOAT or BOOL, `convert(value)` is called with a str (a list of str with `many`), for BODY
    `convert(body, content_type)` with bytes and `str | None`, also for an empty body. It raises
    RequestValidationError, with complete `loc`s, or HTTPException. With `from_json`, bodies whose
    type is `application/json` go there alone; what it raises is passed to `convert` as a third
    argument.

    With a BODY parameter, a request whose Content-Encoding is not identity is refused with 415.
    With `defer` a failed conversion doesn't refuse the request: the argument becomes the
    RequestValidationError instead, so that earlier dependencies can refuse the request first.
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
        from_json: Callable[[bytes], object] | None = None,
    ) -> None: ...

@final
class Plan:
    """How one route's handler is called: compiled once, executed in C for every request.

    `params` are the arguments in order; the last `len(kwnames)` of them are passed by keyword.
    `status_code` and `wrap` apply to results that are not Response objects: `wrap(result)` makes
    such a result a Response; without it, the result is sent as JSON, by `encode(result) -> bytes`.
    `text` is the content type of results that are str or bytes, when such a Response has no more.
    `info` is kept for Python's own use.
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
        timeout: int | None = None,
        cancel: bool | None = None,
        text: bytes | None = None,
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
    @property
    def timeout(self) -> int: ...  # ms; 0: none; -1: the server's
    def bind(self, request: Request) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for the handler. Raises: RequestValidationError when a value is missing or
        can't be converted; HTTPException when the body can't be accepted."""
    def respond(self, request: Request, result: object) -> Any:
        """`result` as a Response object: itself if it is one, else made by `wrap` or `encode`."""

@final
class Router:
    """The routing table.

    With `redirect_slashes`, a path that no route matches is redirected to the one with or without a
    slash at its end that one matches.
    """
    def __init__(self, *, redirect_slashes: bool = True) -> None: ...
    def add(
        self,
        methods: tuple[str, ...],
        pattern: str,
        plan: Plan,
        fits: tuple[Callable[[str], object] | None, ...] | Callable[[str], object] = ...,
        /,
    ) -> None:
        """Adds a route. For each parameter, `fits` has None, or what returns None for texts that it
        doesn't take: then later routes are tried. As a function it takes the text from the first
        parameter to the last, and returns where each begins and ends in its UTF-8, in one tuple.
        Raises: ValueError, which says where, for a malformed pattern or an unknown method;
        RuntimeError when `fits` calls it."""
    def replace(self, old: Plan, new: Plan) -> int:
        """Puts `new` in the place of `old`; returns how many routes had that."""
    def swap(self, other: Router, /) -> None:
        """Exchanges the routes with those of `other`. Requests that have begun keep theirs. Raises:
        RuntimeError when a function that `add` was given calls it."""
    def find(self, method: str, path: str) -> tuple[str, Plan | None, tuple[str, ...]]:
        """The result for a request: ("found", plan, captures), ("not_found", None, ()),
        ("method_not_allowed", None, allowed methods, sorted) or ("redirect_slash", None, ())."""

class Request:
    """C's part of a request; the base of `fluvial.Request`. Users don't create it."""

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
    path_params: dict[str, str]  # the captures as text; a new dict each time; can be set
    app: Any  # Server's `app` argument
    state: Any  # None until Python sets it
    _cache: dict[str, Any] | None  # Python's own
    _at_end: Callable[[], None] | None  # called once, on the loop, when the call is over
    plan: Plan | None  # of the matched route
    route_status: int  # 200 when a route matched, else 404, 405 or 307
    route_headers: list[tuple[bytes, bytes]]  # Allow or Location that go with route_status
    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected, or has sent FIN and is assumed to have."""
    @property
    def body_limit(self) -> int:
        """The most bytes of a body that may be kept as a whole; 0 for no limit."""
    @property
    def is_secure(self) -> bool:
        """Whether the URL's scheme is https or wss: this server's own TLS, or a trusted proxy's."""
    @property
    def _forwarded_prefix(self) -> str:
        """What a trusted proxy says that it has removed from the path, or ""."""
    @property
    def _id(self) -> str | None:
        """The request's id; None where the server gives none (--request-id-header)."""
    @property
    def tls(self) -> dict[str, Any] | None:
        """What is known about the connection's TLS, in the form of ASGI's "TLS Extension". None
        without TLS, or when it is first read after the client has disconnected."""
    def send_hints(self, headers: Iterable[tuple[bytes, bytes]], /) -> None:
        """Sends an interim response, 103, with these fields, unless the response has begun."""
    def header(self, name: str, default: str | None = None) -> str | None:
        """The first field of this name (case-insensitive), decoded as latin-1."""
    def read(self) -> Awaitable[bytes]:
        """The next piece of the body; b"" at its end, and from then on. A collected body comes as
        one piece. Raises: ClientDisconnect when the client has disconnected."""
    def until_gone(self) -> Awaitable[None]:
        """Waits until the client has left (see `disconnected`), or the response is over."""
    def body_nowait(self) -> bytes | None:
        """The whole body if it was collected (as always for `def` handlers), otherwise None."""

class WebSocket(Request):
    """C's part of a WebSocket; the base of `fluvial.WebSocket`. Users don't create it.

    A message is sent during the call; to await its result is to wait while the client is slow. All
    methods raise RuntimeError before accept(), after close(), and in threads other than the loop's,
    and WebSocketDisconnect when the client has disconnected.
    """

    session_state: int  # 0: not accepted, 1: open, 2: close() was called, 3: closed
    by_client: bool  # the connection was not closed by close()
    close_code: int  # 0 until it is closed
    close_reason: str | None
    subprotocols: list[str]  # those that the client offers, in its order
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
        """Starts the close handshake; the code 1005 sends a frame without one. Before accept() it
        rejects the WebSocket with 403. Does nothing if it is closed already. Raises: ValueError for
        a code that must not be sent, or a reason of more than 123 bytes."""

@final
class Sender:
    """Writes one streamed response; passed to `Response.respond`."""
    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        """Starts the response. `length` is in bytes, -1 if unknown. Raises: RuntimeError when it
        has been started already, ValueError for a malformed header field, OSError when the client
        has disconnected."""
    def send(self, data: bytes) -> Awaitable[None]:
        """Writes a piece; suspends while the client is slow. Raises: OSError when the client has
        disconnected."""
    def send_file(self, fd: int, offset: int, size: int, /) -> Awaitable[int]:
        """Sends a part of a file by the kernel; returns how many bytes were sent. If they are fewer
        than `size`, the kernel can't send the rest, and the caller has to read and send it. To
        cancel this aborts the response. Raises: OSError when the client has disconnected."""
    def whole(self, status_code: int, headers: list[tuple[bytes, bytes]], body: bytes, /) -> None:
        """Writes and completes the whole response. Raises: RuntimeError when it has been started
        already, ValueError for a malformed header field, OSError when the client has
        disconnected."""
    def end(self, last: bytes = b"", /) -> None:
        """Completes the response, with a last piece if one is given."""
    @property
    def started(self) -> bool: ...

CODINGS: dict[str, tuple[int, int, int]]
"""The content codings that are built, and their levels: the lowest, highest and usual one."""

def choose_coding(accept: str, codings: tuple[str, ...], /) -> str | None:
    """The one of the codings that a value of Accept-Encoding likes best; among equals the first.
    None: it accepts none of them."""

def select_ranges(value: str, size: int, /) -> list[tuple[int, int]] | None:
    """What a Range field requests of `size` bytes, as (the first byte, the one after the last); in
    ascending order, joined where they overlap or touch. Empty: no such byte exists. None: the field
    requests nothing that is known."""

def has_etag(fields: str, etag: str, weak: bool, /) -> bool:
    """Whether a list of entity tags has this one, or "*", by a strong or a weak comparison."""

def parse_http_date(text: str, now: int = ..., /) -> int | None:
    """A date in one of the three formats of RFC 9110 in seconds since 1970; None for anything else.

    `now` decides the century of a year of two digits.
    """

@final
class Encoder:
    """Encodes one body in a content coding (RFC 9110 section 8.4.1).

    Raises: ValueError for a coding or level that CODINGS doesn't have.
    """

    def __init__(self, coding: str, level: int, /) -> None: ...
    def piece(self, data: bytes, /) -> bytes:
        """Encodes bytes so that a decoder has all of them once it has what is returned. Raises:
        RuntimeError after finish(), or when another thread uses the encoder."""
    def finish(self, data: bytes, /) -> bytes:
        """Encodes the last bytes. Raises: RuntimeError after finish(), or when another thread uses
        the encoder."""

@final
class Pool:
    """The thread pool for `def` handlers: at most `threads` threads and `queue` waiting jobs.

    `greet` is (module, function): each thread calls the function once, before the first job at
    which the module has been imported. `patience` is how many seconds a request's job may wait; 0:
    any time."""
    def __init__(
        self,
        loop: Loop,
        *,
        threads: int = 64,
        queue: int = 16384,
        idle_seconds: int = 10,
        greet: tuple[str, Callable[[], object]] | None = None,
        patience: float = 0,
    ) -> None: ...
    def submit(
        self, context: Context | None, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Runs `func` on a worker in `context` (None: a copy of the current one).
        Raises: RuntimeError when the queue is full or the pool is closed."""
    def close(self, timeout: float = 10.0) -> None:
        """Accepts no more jobs, finishes the present ones and ends the threads. Blocks for at most
        `timeout` seconds; then futures are cancelled, and threads that still run a job are
        abandoned."""
    def patience(self) -> float:
        """How many seconds the call that was submitted last may wait before refuse() should be
        called: 0 for any time, or less than allowed while the queue doesn't empty."""
    def refuse(self, future: asyncio.Future[Any], /) -> bool:
        """Takes back the call of a future, which then never gets a result. False if a thread has
        begun it. Counts what it takes back."""
    def stats(self) -> dict[str, int]:
        """threads, busy, queued, pending, limit, peak_threads, jobs (all that were started),
        refused."""

class ResponseProtocol(Protocol):
    """What C uses of a Response object (an instance of Server's `response_type`)."""

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]  # content-type included; content-length optional
    body: bytes | None  # None: streamed by respond()
    async def respond(self, request: Request, sender: Sender) -> None:
        """Called only if `body` is None. It calls sender.start(), sender.send() and so on; C calls
        sender.end() if the coroutine hasn't."""

@final
class SessionTickets:
    """Keys of TLS's session tickets, which change every `lifetime` seconds, or minute if that is
    longer. Processes that were forked afterwards have the same ones at any time."""
    def __new__(cls, lifetime: int, state: bytes = b"") -> SessionTickets:
        """With a `state` the keys are those of another process on this machine. Raises:
        ValueError when it is none."""
    def state(self) -> bytes:
        """What another process needs to have the same keys from now on. It is secret."""
    def advance(self, ahead: int = 0, /) -> None:
        """Changes the keys if that is due, or will be `ahead` seconds from now, at most a week.
        When they are used that happens by itself. Raises: ValueError when `ahead` is negative or
        more than a week."""

@final
class SecureContext:
    """The configuration of a server's TLS, of the contents of files in PEM form.

    A file is its name, for messages, and what is in it. Each of `pairs` is a certificate, followed
    by any intermediate ones, its private key and, perhaps, an OCSP response about it. Clients get
    the one for the server name that they ask for, or the first. `verify` is an ssl.VerifyMode:
    whether clients are asked for certificates, which must be signed by an authority in `ca_certs`,
    and not be in the lists of `crl`. `ciphers` is OpenSSL's list for TLS 1.2; TLS 1.3 has its own.
    `minimum_version` is an ssl.TLSVersion. Without `tickets` sessions can't be resumed.

    Raises: ValueError, with the file's name and the reason, when a file can't be used.
    """
    def __new__(
        cls,
        pairs: tuple[tuple[tuple[str, bytes] | None, ...], ...],
        *,
        password: str | None = None,
        ca_certs: tuple[str, bytes] | None = None,
        verify: int = 0,
        ciphers: str | None = None,
        crl: tuple[str, bytes] | None = None,
        minimum_version: int = ...,
        tickets: SessionTickets | None = None,
        http2: bool = False,
    ) -> SecureContext: ...

@final
class Server:
    """The HTTP server of one loop.

    `on_error(request, exc)` returns a Response (or an awaitable of one) for an exception from a
    handler or from binding its arguments. `entry`, if given, is the outermost middleware: a
    coroutine function that is called for every request (`await entry(request) -> Response`). With
    `entry` a body that the plan discards is streamed instead, so that a middleware can read it.
    `custom_errors` says that the user has handlers for 404 and 405, which are then passed to
    on_error as HTTPException.

    `root` gets all requests, in place of the routes; if it is middleware `around` them, the limits
    of their bodies hold. `root_path` is removed from paths that are below it. `mounts` get the
    requests below their
    prefixes that match no route; the first one that matches is called. With `entry` they get only
    WebSockets.

    An exception from `respond` is passed to on_error. Its Response is written unless the response
    has started already; then the connection is closed. `respond` is awaited even if the client has
    disconnected, since it may have to clean up. If the client disconnects while `respond` is
    suspended, its task is cancelled.

    `validation_error(errors)` takes a list of error dicts; `.errors()` returns it, and `.body` can
    be set. An `http_exception` has `status_code`, `detail` and `headers` (a dict of str, or None).
    If `encode` raises an exception for a result, `encode_fallback` is called with the result before
    that counts as an error.

    `websockets` has: the router of the WebSocket handlers; the type of their connections; the
    exceptions for a closed connection and for a message of the wrong kind, both called with (code,
    reason); `run(websocket, coroutine)`, which awaits a handler, closes the connection, and returns
    a Response if it was rejected; and `later(loop, func, *args)`, as for AsgiApp. `ws_origins` are
    the origins whose pages may open WebSockets, separated by spaces; `same` is the request's host,
    `*` all. If it is empty, all may, but for requests to a local name only local ones. `hosts` are
    those that requests may name, separated by spaces; empty: all. `proxies` says who is believed
    about clients: networks of 17 bytes (an IPv6 address, the prefix's length), whether peers of
    Unix sockets are, and the bits of the fields that count.

    `fields` are lines that responses have unless they bring their own field of that name, whether
    there is no Server, and no Date.

    `urgent` has paths, separated by spaces, whose requests get a response however many others there
    are; the pool for their `def` handlers; and the context that theirs are copies of.

    With `secure` all connections use TLS. `on_refused(host, status, reason, limit)` is called when
    a client is refused: `status` is the status of the response, the close code of a WebSocket, or 0
    for a failed TLS handshake; `limit` is the name of the limit that was exceeded, or None.
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
        mounts: tuple[tuple[str, AsgiApp | WsgiApp | StaticFiles], ...] = (),
        limits: dict[str, int] | None = None,
        access_log: int = -1,
        access_format: tuple[bool, int, tuple[str | tuple[str, str, int], ...]] = ...,
        request_ids: str = "",
        own_mounts: tuple[tuple[str, AsgiApp | WsgiApp], ...] = (),
        probes: str = "",
        metrics: tuple[memoryview, int] = ...,
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
        around: bool = False,
        root_path: str = ...,  # left out: none
        hosts: str = "",
        proxies: tuple[bytes, bool, int]
        | tuple[bytes, bool, int, bytes, bool] = ...,  # left out: nobody
        fields: tuple[bytes, bool, bool] = ...,  # left out: Server and Date
        urgent: tuple[str, Pool | None, Context] = ...,  # left out: none
    ) -> None: ...
    def listen(
        self,
        fd: int,
        *,
        unix: bool = False,
        backlog: int = 2048,
        shared: bool = False,
        proxied: bool = False,
    ) -> None:
        """Takes over the bound socket `fd` and accepts connections. With `shared`, so do other
        processes, and each takes one at a time. If they are `proxied`, each begins with a header
        of the PROXY protocol, and only trusted proxies may connect. Raises: OSError when it can't
        listen."""
    def take(self, fd: int, /) -> None:
        """Takes over the connected Unix socket `fd`, which is non-blocking, as if it had been
        accepted. Raises: OSError when the server is stopping."""
    def compress(self, choices: tuple[tuple[str, int], ...], least: int, types: str, /) -> None:
        """Compresses responses from now on: `choices` are names of CODINGS with a level, the best
        one first. Bodies of fewer than `least` bytes stay as they are, and those of other content
        types than `types`, patterns separated by spaces. Raises: ValueError for a coding or level
        that there isn't."""
    def decompress(self, codings: tuple[str, ...], /) -> None:
        """Decodes bodies of requests in these codings from now on, and refuses other codings with
        415. Raises: ValueError for a coding that there isn't."""
    def drain(self, *, idle: bool = True, queued: bool = True) -> asyncio.Future[None]:
        """Stops accepting; the future is done when the current requests are finished and the last
        connection is closed. With `queued`, what waits in the listeners' queues is accepted first;
        without it, another process does that. With `idle`, connections on which no request seems to
        be on its way are closed at once; otherwise they are closed after their next response, or by
        a later call. So are those whose last response, begun before, has said that they stay."""
    def end_streams(self) -> None:
        """Breaks off the streamed responses whose length isn't known: their handlers are
        cancelled. They may never end."""
    def pending(self) -> list[tuple[str, str, float, bool]]:
        """What has no whole response yet: method ("WebSocket" for an open one), path, seconds since
        the request began, and whether end_streams() would break it off."""
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
        """A Request object for a request of HTTP/1.minor that another server has received; its
        route is looked up. With `websocket`, the object is of the type in `websockets`, which has
        its own methods to accept, to close and for messages. release() must be called afterwards.
        Raises: ValueError for an unknown method."""
    def collect(self, request: Request, body: bytes, decoded: bool = False, /) -> None:
        """Appends to the collected body of an adopted request. If it is `decoded`, the request's
        Content-Encoding doesn't count any more."""
    def release(self, request: Request, /) -> None:
        """Ends an adopted request or WebSocket."""
    def reopen_log(self, fd: int, /) -> None:
        """Writes the access log to a duplicate of `fd`; lines already added may go to the old one.

        Raises: OSError when there are no more descriptors.
        """
    def renew_secure(self, secure: SecureContext, /) -> None:
        """Sets up the TLS of connections that are accepted from now on.

        Raises: RuntimeError when the server has no TLS.
        """
    def close(self) -> None:
        """Frees the server, which must have been drained."""
    def stats(self) -> dict[str, int]: ...
    def measure(self) -> None:
        """Brings what it counts in `metrics` up to date; by itself it does so now and then."""

@final
class AsgiApp:
    """An ASGI 3 application, for Server's `root`.

    The scope's root_path is `root_path + prefix`; `root_path` is put before every path.
    `extensions` are those that scopes offer. `report(text, exc)` logs that the app has not
    completed the response to a request. `send` raises `gone_error` when the client has
    disconnected.

    `extend(send, copy, message)` handles a message of an extension. For a file it sends other
    messages, or calls `copy(descriptor, offset, size, more)`, which sends a part of the file as
    part of the body, by the kernel, like Sender.send_file.

    `later(loop, func, *args)` makes the coroutine that `receive` and `send` return in a thread
    other than the loop's: it calls them in the loop's thread and awaits the result.
    `recover(request, send, exc)` is called when the app raises before its response has started. It
    returns a coroutine that sends a response, or None.
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
class StaticFiles:
    """The files below `directory`, for Server's `mounts`; `app` gets what isn't served here.

    `prefix` is where this is mounted. Symbolic links may lead out of the directory if `follow`.
    With `precompressed`, app.js.br is a sibling of app.js, for clients that accept its coding.
    `describe(path, size, mtime, mtime_ns, coding, varies, status)` returns (header fields of a
    response with the file, those of a 304 response, ETag, Last-Modified); `varies` if it has
    siblings. With `html` a directory is its index.html, and a missing file 404.html. The last
    `files` files are kept, with contents of up to `memory` bytes.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        prefix: bytes,
        directory: bytes,
        html: bool,
        follow: bool,
        precompressed: bool,
        describe: Callable[
            [bytes, int, float, int, str, bool, int],
            tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]], bytes, bytes],
        ],
        files: int,
        memory: int,
    ) -> None: ...

@final
class WsgiApp:
    """A WSGI application, for Server's `root`.

    Each request's environ starts as a copy of `environ`; `prefix` is removed from the start of the
    path. `report(text, exc)` logs that the app has not completed the response to a request; it is
    called in any thread. `file_type` is the type of `wsgi.file_wrapper`. `file_facts` returns the
    descriptor, position and size of the file in such a wrapper, or None if the file can't be sent
    by its descriptor. `route_of(environ, result)` returns the path of the route that the app has
    found, by which the request is counted, if it can be told.
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
        route_of: Callable[[dict[str, Any], Any], str | None] | None = None,
    ) -> None: ...
    @property
    def app(self) -> Callable[..., Iterable[bytes]]: ...

@final
class WsgiInput:
    """The body of a request to a WSGI app, as a file.

    Reading waits for the client. Raises: ConnectionResetError when the client disconnects before
    the body is complete, or when the response was complete before the whole body had arrived.
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
    """A callback that waits to be called; isinstance() takes it for an `asyncio.Handle`."""

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
    """The same for timers, like `asyncio.TimerHandle`."""

    def when(self) -> float: ...
    def _repr_info(self) -> list[str]: ...
    _when: float
    _scheduled: bool

@final
class ThreadSafeHandle(Handle):
    """What `call_soon_threadsafe` gives from 3.14 on, like asyncio's private class of that name."""

    def cancel(self) -> None: ...
    def cancelled(self) -> bool: ...

class RequestCoro(Coroutine[Any, Any, None]):
    """The coroutine that a request's task runs."""

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
    @property
    def pending(self) -> bool: ...  # whether Server.pending() has the request

@final
class HandlerCoro(RequestCoro):
    """Runs a handler, and then everything that its response needs."""

    @property
    def server(self) -> Server | None: ...  # None at the end

class AsgiCall(RequestCoro):
    """A request to an ASGI app."""

    @property
    def server(self) -> Server: ...

@final
class AsgiSocket(AsgiCall):
    """A WebSocket of an ASGI app."""

@final
class SocketOp(Coroutine[Any, Any, Any]):
    """The coroutine that sock_recv(), sock_recv_into() and sock_sendall() await."""

    def send(self, value: Any, /) -> Any: ...
    def throw(self, *args: Any) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any, Any]: ...

class Loop:
    """The part of `fluvial.Loop` that is in C for speed; asyncio's loop class is its other base."""

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
    def _pulse(self, cell: Any, seconds: float, /) -> None:
        """Writes the time (CLOCK_MONOTONIC, nanoseconds) into `cell`, 8 aligned bytes, every
        `seconds` while the loop runs, without the GIL."""
    def _run(self) -> None:
        """Runs iterations until stop()."""
    def _shut(self) -> None:
        """Closes all open libuv handles, and libuv's loop."""
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
    """Accepts the connections of a listening socket, at most `backlog` in one go. Each gets a
    protocol from `factory`, and a transport that is attached to `server`. Both are called in a copy
    of `context`, or of the context that is current now."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        backlog: int,
        factory: Callable[[], asyncio.BaseProtocol],
        server: Any,
        context: Context | None,
        /,
    ) -> None: ...
    def start(self) -> None:
        """Accepts connections until stop()."""
    def stop(self) -> None: ...
    sock: socket.socket
    watching: bool

class StreamTransport(asyncio.Transport):
    """A connected stream socket. libuv owns `fd` from then on, and Python never gets to see it.
    `sock` is the user's socket, of which `fd` is a duplicate, or None if the loop made the socket.
    `waiter` gets its result after connection_made(). The protocol is called in `context`, or in a
    copy of the current one."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        sock: socket.socket | None,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any] | None,
        server: Any,
        context: Context | None,
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
        """A duplicate of the descriptor, which the caller owns."""
    def _owns(self, number: int) -> bool:
        """Whether `number`, from the transport's socket object, is still this connection's."""
    def _force_close(self, exc: BaseException | None) -> None: ...
    def _make_empty_waiter(self) -> asyncio.Future[None]: ...
    def _reset_empty_waiter(self) -> None: ...
    _loop: Loop
    _protocol_paused: bool
    _sendfile_compatible: Any
    _start_tls_compatible: bool

class TlsProtocol:
    """What TLS for asyncio does for a record. `fluvial._loop.tls.SSLProtocol` derives from it and
    from asyncio's SSLProtocol, which handles the rest. The attributes are those of asyncio's class,
    except `_records` and `_write`."""

    def data_received(self, data: bytes | bytearray | memoryview) -> None: ...
    def _do_read(self) -> None: ...
    def _process_outgoing(self) -> None: ...
    def _write(self, data: bytes | bytearray | memoryview) -> None:
        """`write` of the application's transport."""
    _app_protocol: Any
    _app_protocol_is_buffer: bool
    _app_reading_paused: bool
    _app_writing_paused: bool
    _incoming: Any
    _incoming_high_water: int
    _incoming_low_water: int
    _outgoing: Any
    _outgoing_high_water: int
    _outgoing_low_water: int
    _records: Any  # has read, write and pending of ssl.SSLObject
    _ssl_reading_paused: bool
    _ssl_writing_paused: bool
    _state: Any
    _transport: Any
    _write_buffer_size: int

class Endpoint(asyncio.BaseTransport):
    """A transport over a descriptor that a Python file still owns; the base of those below."""

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
    accepts no other one. If `extra` has a "peername", the socket is connected. `waiter` gets its
    result after connection_made()."""

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
