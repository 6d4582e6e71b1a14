"""How an app is served: the options of `fluvial.run` and of the command line."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .access_format import read_format
from .access_log import syslog_address
from .addresses import has_unix_socket, parse_address
from .compression import MINIMUM_SIZE, TYPES, check_types, read_codings, read_decoders
from .default_fields import read_field
from .limits import LIMITS
from .metrics_address import check_metrics
from .priority import check_paths
from .proxies import FIELDS, LOCAL, check_hosts, make_proxies
from .request_ids import check_id_header

LEVELS = ("critical", "error", "warning", "info", "debug")
LIFESPAN_MODES = ("auto", "on", "off")
# Also what other servers call them; all but "auto" and "2" stand for HTTP/1.1 alone.
HTTP_VERSIONS = ("auto", "1.1", "1", "2", "h11", "httptools")
TLS_VERSIONS = ("tlsv1.2", "tlsv1.3")
_CHOICES = (
    ("log_level", LEVELS),
    ("lifespan", LIFESPAN_MODES),
    ("ssl_minimum_version", TLS_VERSIONS),
    ("http", HTTP_VERSIONS),
)

# The ranges of integer options: (least, most).
RANGES = {
    "port": (0, 65535),
    "threads": (1, 10_000),
    "thread_queue": (1, 2**31 - 1),
    "workers": (1, 1024),
    "backlog": (1, 2**31 - 1),
    "max_requests": (0, 2**63 - 1),
    "max_requests_jitter": (0, 2**31 - 1),
    "max_rss": (0, 2**63 - 1),
    "ssl_session_lifetime": (0, 604_800),  # RFC 8446 section 4.6.1
    "metrics_series": (10, 100_000),
    "compress_min_size": (0, 2**31 - 1),
}
# For an option's annotation: the types that are accepted, and their description.
_TYPES: dict[str, tuple[Any, str]] = {
    "str": (str, "a str"),
    "str | None": (str | None, "a str or None"),
    "str | tuple[str, ...]": ((str, tuple, list, set, frozenset), "a str or a tuple of str"),
    "str | tuple[str, ...] | None": ((str, tuple, list, type(None)), "a str or a tuple of str"),
    "bool": (bool, "True or False"),
    "tuple[str, ...]": ((tuple, list, set, frozenset), "a tuple of str"),
    "dict[str, int]": (dict, "a dict"),
}
LONGEST_GRACE = 86_400.0  # seconds
ADDRESS = ("host", "port")
WAYS = (("bind",), ("uds",), ADDRESS)  # to say where to listen; one excludes the others
OF_FILES = ("uds_mode", "uds_owner", "uds_group")  # of Unix sockets
OF_CERTIFICATES = ("ssl_certfile", "ssl_keyfile", "ssl_ocsp_file")  # one name, or several
# What new workers can't have otherwise than those whose places they take.
KEPT = (
    *("host", "port", "uds", *OF_FILES, "bind", "reuse_port", "backlog"),
    *("user", "group", "umask", "pid", "preload", "metrics", "metrics_series"),
)
_NOT_EMPTY = {
    "uds": "the path of a socket",
    "pid": "the path of a file",
    "access_log_file": "a file, -, logging or syslog",
    **dict.fromkeys(("user", "group", "uds_owner", "uds_group"), "a name or a number"),
}
LONGEST_LIFETIME = 31_536_000.0  # seconds
# Where there is a parent, what it allows its workers by default, in seconds.
WORKER_TIMEOUT = 30.0
STARTUP_TIMEOUT = 300.0
OF_PARENTS = (
    *("worker_timeout", "startup_timeout", "max_requests", "max_lifetime", "max_rss", "preload"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where and how to serve. `limits` are in C's units, by the names in `LIMITS`.

    An empty `host` means all interfaces. `uds`, a Unix socket's path, takes the place of `host` and
    `port`; so does `bind`, with any number of "HOST:PORT", "[IPV6]:PORT", "unix:PATH" and "fd://N".
    `uds_mode`, `uds_owner` and `uds_group` are those of Unix sockets' files; by default the umask
    determines the mode, and they belong to `user` and `group`. With `reuse_port` other servers may
    have the same ports. With `proxy_protocol` each connection begins with a header of the PROXY
    protocol, and only `proxy_allow_ips` may connect, by default `forwarded_allow_ips`.

    `user` and `group` are names or numbers; the app is loaded and runs as these, for good, while
    sockets are bound and keys are read before. `umask` is that of the process, `pid` a file for its
    id.

    `root_path` is the prefix that a proxy removes from each request's path. `lifespan` says whether
    ASGI apps are notified of startup and shutdown: "on", "off", or "auto", which notifies those
    that support it. `asgi_extensions` offers them http.response.pathsend, zerocopysend, early_hint
    and trailers; `asgi_debug` accepts http.response.debug from them and logs it.

    Times are in seconds. After the first signal to stop, requests have `graceful_timeout` to
    finish, and the rest of the shutdown has `cleanup_timeout`; then the process is terminated.
    With `metrics` requests and more are counted. It is the path that serves the counts, or
    HOST:PORT, a port of its own, which serves them at /metrics. `metrics_series` is the maximum
    number of combinations of route, method and status that are counted separately.
    With `otel` OpenTelemetry's spans and measurements of requests are sent by OTLP.
    With `health` the server responds to /-/live and /-/ready; for `drain_delay` after the first
    signal it keeps serving, but is not ready, and only then begins to stop.
    `threads` is the maximum number of `def` handlers that run at once, `thread_queue` the maximum
    number that wait for a thread. With `cancel_on_disconnect` a handler whose client has left is
    cancelled, unless its route says otherwise. Requests for one of `priority_path` are not
    refused when there are too many, and their `def` handlers have two threads of their own.

    `header` are fields ("NAME:VALUE", or a tuple of both) for all responses that don't set them
    themselves; `server_header` and `date_header` say whether there are Server and Date.

    `ws_origins` are the origins whose pages may open WebSockets; "same" stands for the request's
    host, "*" for all. If it is empty, all may, but a request for a local name that no proxy has
    forwarded must come from a page of a local name. `allowed_hosts` are the hosts that requests may
    name ("*.example.org": all below it); others get a 400. If it is empty, all may.

    `forwarded_allow_ips` are the addresses and networks of proxies ("unix": all clients of a
    Unix socket; "*": all). What their `forwarded_fields` say of a request's client is trusted.

    `compress` are the content codings for clients that accept one: "zstd", "br" and "gzip", the
    best one first, each with ":LEVEL" or without, or "all". Bodies of fewer than
    `compress_min_size` bytes, and of other types than `compress_types`, stay as they are. Bodies of
    requests in the codings `decompress` are decoded, and others refused; by default they are left.

    `access_log_file` is the file of the access log, or "-" for stdout, "logging", "syslog:ADDRESS";
    a level above "info" turns it off. `log_config` is a file with a dict for dictConfig(), as JSON
    or TOML. `access_logformat` is "plain", "combined", "json", or a format with gunicorn's atoms.

    With `request_id_header`, the name of a header field, each request has an id, which responses
    have in that field: what one of `forwarded_allow_ips` has sent in it, or one that is made.

    A worker whose event loop is blocked for `worker_timeout` is replaced, and so is one that
    is not ready after `startup_timeout`; by default these are 30 and 300 where there is a parent
    process. So is one that has had `max_requests` plus a random number up to
    `max_requests_jitter`, that has lived for `max_lifetime`, or that has `max_rss` bytes of memory;
    0 stands for no limit. With `preload` the app is loaded once, before the workers are forked.
    With several `workers`, or one of these limits, or `preload`, the process that was started is
    the parent, which serves nothing itself.

    With `ssl_certfile` the server uses TLS. Files are in PEM form; by default the private key is
    read from `ssl_certfile`, too. There may be several, of which each client gets the one for the
    server name that it asks for, or the first; `ssl_keyfile` then has as many. So has
    `ssl_ocsp_file`, with OCSP responses in DER form, or "-" for none. `ssl_cert_reqs` says
    whether clients are asked for certificates: "none", "optional" or "required", or the ssl
    module's numbers for these. The certificates must be signed by an authority in `ssl_ca_certs`;
    `ssl_crl` has lists of those that were revoked. `ssl_minimum_version` is "TLSv1.2" or "TLSv1.3",
    `ssl_ciphers` OpenSSL's list for TLS 1.2. Sessions may be resumed for `ssl_session_lifetime`; 0
    for never. Every `ssl_watch_interval` the files are looked at, and read again when they have
    changed; 0 for never. With `tls_dev` there is a self-signed certificate for local names,
    which is made in memory.

    With `http` "auto" clients that ask for HTTP/2 get it, by ALPN or its preface.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    uds_mode: int | None = None
    uds_owner: str | None = None
    uds_group: str | None = None
    bind: tuple[str, ...] = ()
    reuse_port: bool = False
    proxy_protocol: bool = False
    proxy_allow_ips: str | tuple[str, ...] | None = None
    user: str | None = None
    group: str | None = None
    umask: int | None = None
    pid: str | None = None
    threads: int = 64
    thread_queue: int = 16384
    workers: int = 1
    backlog: int = 2048
    access_log: bool = True
    access_log_file: str = "-"
    access_logformat: str = "plain"
    log_level: str = "info"
    log_config: str | None = None
    request_id_header: str = ""
    worker_timeout: float | None = None
    startup_timeout: float | None = None
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_lifetime: float = 0.0
    max_rss: int = 0
    preload: bool = False
    graceful_timeout: float = 8.0
    cleanup_timeout: float = 1.5
    health: bool = False
    metrics: str = ""
    metrics_series: int = 1000
    otel: bool = False
    drain_delay: float = 0.0
    root_path: str = ""
    header: tuple[str, ...] = ()
    server_header: bool = True
    date_header: bool = True
    forwarded_allow_ips: str | tuple[str, ...] = LOCAL
    forwarded_fields: tuple[str, ...] = tuple(FIELDS)
    allowed_hosts: tuple[str, ...] = ()
    lifespan: str = "auto"
    asgi_extensions: bool = False
    asgi_debug: bool = False
    compress: tuple[str, ...] = ()
    compress_min_size: int = MINIMUM_SIZE
    compress_types: tuple[str, ...] = TYPES
    decompress: tuple[str, ...] = ()
    cancel_on_disconnect: bool = False
    priority_path: tuple[str, ...] = ()
    ws_per_message_deflate: bool = True
    ws_origins: tuple[str, ...] = ()
    http: str = "1.1"
    ssl_certfile: str | tuple[str, ...] | None = None
    ssl_keyfile: str | tuple[str, ...] | None = None
    ssl_keyfile_password: str | None = field(default=None, repr=False)
    ssl_ocsp_file: str | tuple[str, ...] | None = None
    ssl_ca_certs: str | None = None
    ssl_cert_reqs: str | int = "none"
    ssl_crl: str | None = None
    ssl_minimum_version: str = "tlsv1.2"
    ssl_ciphers: str | None = None
    ssl_session_lifetime: int = 7200
    ssl_watch_interval: float = 1.0
    tls_dev: bool = False
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """The scheme of the server's URLs."""
        return "https" if self.tls_dev or self.ssl_certfile is not None else "http"

    @property
    def supervised(self) -> tuple[str, ...]:
        """The options that ask for a parent process, which replaces the one that serves."""
        several = ("workers",) if self.workers > 1 else ()
        return several + tuple(name for name in OF_PARENTS if getattr(self, name))

    @property
    def longest_stop(self) -> float:
        """How long a stop takes at most, from the first signal on."""
        return self.drain_delay + self.graceful_timeout + self.cleanup_timeout

    @property
    def longest_standstill(self) -> float:
        """How long a worker's loop may stand still; 0 for no limit."""
        return WORKER_TIMEOUT if self.worker_timeout is None else self.worker_timeout

    @property
    def longest_start(self) -> float:
        """How long a worker may take to start; 0 for no limit."""
        return STARTUP_TIMEOUT if self.startup_timeout is None else self.startup_timeout

    def __post_init__(self) -> None:
        """Checks all options.

        Raises: TypeError or ValueError, with the option and its accepted values in the text.
        """
        self._check_numbers()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, os.PathLike):
                object.__setattr__(self, each.name, value := os.fspath(value))
            _check_type(each.name, each.type, value)
        for name in OF_CERTIFICATES:
            object.__setattr__(self, name, _one_or_several(name, getattr(self, name)))
        for name, choices in _CHOICES:
            object.__setattr__(self, name, _check_choice(name, getattr(self, name), choices))
        object.__setattr__(self, "root_path", normal_root_path(self.root_path))
        check_hosts(self.allowed_hosts)
        object.__setattr__(self, "priority_path", tuple(self.priority_path))
        try:
            self._check_process()
            self._check_listening()
            make_proxies(self.forwarded_allow_ips, self.forwarded_fields, self.proxy_allow_ips)
            read_codings(self.compress)
            check_types(self.compress_types)
            read_decoders(self.decompress)
        except ValueError as exc:
            raise ValueError(f"Config: {exc}") from None
        known = {limit.name: limit for limit in LIMITS}
        for name, value in self.limits.items():
            if name not in known:
                raise ValueError(f"Config: unknown limit {name!r}{did_you_mean(name, known)}")
            _check_number(f"limits[{name!r}]", value, 0, known[name].most)

    def _check_numbers(self) -> None:
        for name, (least, most) in RANGES.items():
            _check_number(name, getattr(self, name), least, most)
        for name in ("graceful_timeout", "cleanup_timeout", "drain_delay"):
            _check_number(name, getattr(self, name), 0, LONGEST_GRACE, whole=False)
        _check_number("max_lifetime", self.max_lifetime, 0, LONGEST_LIFETIME, whole=False)
        _check_number("ssl_watch_interval", self.ssl_watch_interval, 0, LONGEST_GRACE, whole=False)
        for name in ("worker_timeout", "startup_timeout"):
            if (value := getattr(self, name)) is not None:
                _check_number(name, value, 0, LONGEST_LIFETIME, whole=False)
        for name in ("uds_mode", "umask"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), 0, 0o777)

    def _check_listening(self) -> None:
        """Checks where to listen.

        Raises: TypeError when an address isn't a str, ValueError when one is malformed or two
        options contradict each other.
        """
        for text in self.bind:
            if not isinstance(text, str):
                raise TypeError(f"Config: bind must be a tuple of str, not {self.bind!r}")
            parse_address(text)
        ways = {"bind": bool(self.bind), "uds": self.uds is not None}
        used = [way for way, is_used in ways.items() if is_used]
        used += [name for name in ADDRESS if getattr(self, name) != _default(name)]
        if len(used) > 1 and used[0] in ways:
            raise ValueError(f"{used[0]} and {used[1]} can't be combined: give one of them")
        for name in OF_FILES:
            if getattr(self, name) is not None and not has_unix_socket(self.uds, self.bind):
                raise ValueError(f"{name} is for a Unix socket: give uds, or unix:PATH in bind")

    def _check_process(self) -> None:
        object.__setattr__(self, "header", tuple(map(read_field, self.header)))
        for name, words in _NOT_EMPTY.items():
            if getattr(self, name) == "":
                raise ValueError(f"{name} must be {words}, not ''")
        read_format(self.access_logformat)
        syslog_address(self.access_log_file)
        check_id_header(self.request_id_header)
        check_metrics(self.metrics)
        check_paths(self.priority_path)
        if self.otel:
            _check_otel()
        if self.preload and (self.user is not None or self.group is not None):
            raise ValueError(
                "preload can't be combined with user or group: the app would be loaded before the "
                "process runs as these"
            )


def _check_otel() -> None:
    """Raises: ValueError when OpenTelemetry is not installed."""
    try:
        found = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError("otel needs OpenTelemetry: pip install 'fluvial[otel]'")


def _default(name: str) -> Any:
    return next(each.default for each in fields(Config) if each.name == name)


def make_config(caller: str, config: Config | None, options: dict[str, Any]) -> Config:
    """Combines `config` with `options`, which `caller` has been given.

    Raises: TypeError or ValueError for options that are unknown, wrong or can't be combined.
    """
    known = [each.name for each in fields(Config)]
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or "; see fluvial.Config"
            raise TypeError(f"{caller} has no option {name!r}{hint}")
    if config is not None and not isinstance(config, Config):
        raise TypeError(f"{caller}: config must be a fluvial.Config, not {config!r}")
    config = config or Config()
    return replace(config, **_instead(caller, config, options))


def _instead(caller: str, config: Config, options: dict[str, Any]) -> dict[str, Any]:
    """`options`, and the defaults of what they take the place of in `config`.

    Raises: TypeError when they say in two ways where to listen.
    """
    ways = [(way, [name for name in way if _says(options, name)]) for way in WAYS]
    used = [names for _, names in ways if names]
    if len(used) > 1:
        raise TypeError(
            f"{caller}: {used[0][0]} and {used[1][0]} can't be combined: give one of them"
        )
    if used:
        others = [name for way, names in ways if not names for name in way]
        options = {name: _default(name) for name in others} | options
    uds, bind = options.get("uds", config.uds), options.get("bind", config.bind)
    if not has_unix_socket(uds, bind):
        options = dict.fromkeys(OF_FILES) | options
    return options


def _says(options: dict[str, Any], name: str) -> bool:
    """Whether the option says where to listen: uds=None and bind=() don't."""
    return name in options and (name in ADDRESS or options[name] not in (None, ()))


def did_you_mean(name: str, known: Collection[str], *, likeness: float = 0.6) -> str:
    """ "; did you mean …?" if one of the known names is similar, otherwise an empty text."""
    import difflib  # slow to import, and needed only for mistakes

    close = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""


def normal_root_path(path: str) -> str:
    """`path` with a slash at its start and none at its end.

    Raises: TypeError or ValueError when it isn't the path of a URL.
    """
    _check_text("root_path", path)
    if "?" in path or "#" in path or "://" in path or not path.isprintable():
        raise ValueError(f"Config: root_path must be the path of a URL, such as /api, not {path!r}")
    inner = path.strip("/")
    return f"/{inner}" if inner else ""


def _check_type(name: str, kind: Any, value: object) -> None:
    """Checks an option's type by its annotation, of which `kind` is the text.

    Options whose annotations are not in `_TYPES` are checked elsewhere.
    """
    allowed, words = _TYPES.get(kind, (object, ""))
    if not isinstance(value, allowed):
        raise TypeError(f"Config: {name} must be {words}, not {value!r}")


def _one_or_several(name: str, files: Any) -> str | tuple[str, ...] | None:
    """Files' names: none of them is None, and one stands for itself.

    Raises: TypeError when one isn't a name.
    """
    if files is None or isinstance(files, str):
        return files
    names = tuple(os.fspath(each) if isinstance(each, os.PathLike) else each for each in files)
    for each in names:
        _check_text(name, each)
    return names if len(names) > 1 else names[0] if names else None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"Config: {name} must be a str, not {value!r}")


def _check_number(name: str, value: Any, least: float, most: float, *, whole: bool = True) -> None:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        what = "an integer" if whole else "a number"
        raise TypeError(f"Config: {name} must be {what}, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"Config: {name} must be from {least} to {most}, not {value!r}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    _check_text(name, value)
    found: str = value.lower()
    if found not in choices:
        expected = ", ".join(choices)
        hint = did_you_mean(found, choices)
        raise ValueError(f"Config: {name} must be one of {expected}, not {value!r}{hint}")
    return found
