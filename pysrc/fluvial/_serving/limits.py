"""The limits of the HTTP server: their flags, units and defaults."""

from __future__ import annotations

from typing import NamedTuple

from .._forms.limits import DEFAULTS, FLAGS

SECONDS = 1000  # C takes times in milliseconds
# The sizes of C's types: 64 bits for limits that may exceed 4 GiB, 32 bits for the others.
_LARGE = frozenset({"body", "form_size", "ws_message", "ws_frame"})
_LARGEST, _LARGEST_SMALL = 2**63 - 1, 2**32 - 1
_LONGEST_WAIT = 86_400_000  # ms; as the thread pool has it


class Limit(NamedTuple):
    """One limit of the HTTP server. `scale` is how many of C's units make one of the user's."""

    name: str
    flag: str
    unit: str
    scale: int
    default: int
    help: str

    @property
    def most(self) -> int:
        """The largest value that C can hold, in C's units."""
        if self.name == "queue_time":
            return _LONGEST_WAIT
        return _LARGEST if self.name in _LARGE else _LARGEST_SMALL


KIB = 1024


def _form_limit(name: str, unit: str, words: str) -> Limit:
    return Limit(f"form_{name}", FLAGS[name], unit, 1, getattr(DEFAULTS, name), words)


LIMITS = (
    Limit(
        "request_line",
        "--limit-request-line",
        "BYTES",
        1,
        8 * KIB,
        "Longest request line; else 414.",
    ),
    Limit(
        "header_block", "--limit-headers", "BYTES", 1, 64 * KIB, "Largest header section; else 431."
    ),
    Limit(
        "header_fields",
        "--limit-header-fields",
        "N",
        1,
        100,
        "Maximum number of header fields; else 431.",
    ),
    Limit("body", "--limit-body", "BYTES", 1, 16 * KIB * KIB, "Largest request body; else 413."),
    _form_limit("size", "BYTES", "Largest multipart form; else 413."),
    Limit(
        "trailer_block",
        "--limit-trailers",
        "BYTES",
        1,
        8 * KIB,
        "Largest trailer section; else 400.",
    ),
    Limit(
        *("chunk_extensions", "--limit-chunk-extensions", "BYTES", 1, 4 * KIB),
        "Largest chunk extensions of a body in all; else 400.",
    ),
    Limit(
        *("header_timeout", "--header-timeout", "SECONDS", SECONDS, 10),
        "Longest time from a request's first byte to the end of its header section; else 408.",
    ),
    Limit(
        *("body_rate", "--body-rate", "BYTES/S", 1, 240),
        "Lowest average rate at which a body must arrive; else 408.",
    ),
    Limit(
        *("body_grace", "--body-grace", "SECONDS", SECONDS, 5),
        "How long a body may arrive more slowly than that.",
    ),
    Limit(
        *("keep_alive", "--keep-alive", "SECONDS", SECONDS, 75),
        "How long a connection may be idle.",
    ),
    Limit(
        *("write_timeout", "--write-timeout", "SECONDS", SECONDS, 60),
        "How long a client may read nothing of a response.",
    ),
    Limit(
        *("half_closed", "--half-closed-timeout", "SECONDS", SECONDS, 5),
        "How long a response may pause before a client that sent FIN counts as disconnected.",
    ),
    Limit(
        *("linger_time", "--linger-time", "SECONDS", SECONDS, 30),
        "How long to drop what a client still sends after its last response, while it reads that.",
    ),
    Limit(
        *("linger_timeout", "--linger-timeout", "SECONDS", SECONDS, 5),
        "How long such a client may send nothing.",
    ),
    Limit(
        *("linger_bytes", "--linger-bytes", "BYTES", 1, 48 * KIB * KIB),
        "How many bytes of such a client are dropped before its connection is reset.",
    ),
    Limit(
        "connections",
        "--limit-connections",
        "N",
        1,
        65536,
        "Maximum number of connections at once.",
    ),
    Limit(
        "in_flight",
        "--limit-in-flight",
        "N",
        1,
        16384,
        "Maximum number of unanswered requests; else 503.",
    ),
    Limit(
        *("request_timeout", "--request-timeout", "SECONDS", SECONDS, 0),
        "How long a response may take; else 504, and the handler is cancelled.",
    ),
    Limit(
        *("queue_time", "--max-queue-time", "SECONDS", SECONDS, 0),
        "How long a request may wait for a thread; else 503. A tenth of it while the queue stands.",
    ),
    Limit(
        *("pipelined", "--limit-pipelined", "BYTES", 1, 64 * KIB),
        "How many bytes are read ahead while a request is unanswered.",
    ),
    Limit(
        *("h2_streams", "--h2-max-streams", "N", 1, 128),
        "Maximum number of requests at once on an HTTP/2 connection.",
    ),
    Limit(
        *("h2_window", "--h2-window", "BYTES", 1, 256 * KIB),
        "How many bytes of an HTTP/2 request's body may wait for the app.",
    ),
    Limit(
        *("h2_resets", "--h2-max-resets", "N/S", 1, 200),
        "How many requests an HTTP/2 connection may reset in a second; else it is closed.",
    ),
    Limit(
        *("h2_controls", "--h2-max-controls", "N/S", 1, 1000),
        "How many HTTP/2 frames a second may ask for nothing; else the connection is closed.",
    ),
    Limit(
        *("h2_continuations", "--h2-max-continuations", "N", 1, 16),
        "Maximum number of CONTINUATION frames of a header section; else the connection is closed.",
    ),
    Limit(
        *("h2_stall", "--h2-stall-timeout", "SECONDS", SECONDS, 30),
        "How long a client may read an HTTP/2 response more slowly than --body-rate.",
    ),
    Limit(
        *("ws_message", "--ws-max-size", "BYTES", 1, 16 * KIB * KIB),
        "Largest WebSocket message; else closed with 1009.",
    ),
    Limit(
        *("ws_frame", "--ws-max-frame", "BYTES", 1, 16 * KIB * KIB),
        "Largest WebSocket frame; else closed with 1009.",
    ),
    Limit(
        *("ws_queue", "--ws-max-queue", "N", 1, 32),
        "How many WebSocket messages may wait for the app before reading pauses.",
    ),
    Limit(
        *("ws_ping_interval", "--ws-ping-interval", "SECONDS", SECONDS, 20),
        "Idle time on a WebSocket before a ping is sent.",
    ),
    Limit(
        *("ws_ping_timeout", "--ws-ping-timeout", "SECONDS", SECONDS, 20),
        "How long a ping may stay unanswered before the connection counts as lost.",
    ),
    Limit(
        *("ws_close_timeout", "--ws-close-timeout", "SECONDS", SECONDS, 10),
        "How long a client may take to respond to a close frame.",
    ),
    Limit(
        *("ws_deflate_threshold", "--ws-deflate-threshold", "BYTES", 1, 64),
        "Shorter WebSocket messages are not compressed.",
    ),
    Limit(
        *("decode_ratio", "--limit-decompress-ratio", "N", 1, 100),
        "How many bytes one byte of a compressed request body may decode to; else 413.",
    ),
    Limit(
        *("log_buffer", "--access-log-buffer", "BYTES", 1, KIB * KIB),
        "How many bytes of the access log may wait to be written; more are dropped and counted.",
    ),
    _form_limit("files", "N", "Maximum number of files in a form; else 400."),
    _form_limit("fields", "N", "Maximum number of fields in a form; else 400."),
    _form_limit(
        "parts", "N", "Maximum number of parts, fields and files, of a multipart form; else 400."
    ),
    _form_limit("field_size", "BYTES", "Largest field of a form; else 400."),
    _form_limit("memory", "BYTES", "Largest fields of a form together; else 413."),
    _form_limit("name", "BYTES", "Longest name of a form's field or file; else 400."),
    _form_limit("headers", "BYTES", "Largest header section of a form's part; else 400."),
    _form_limit("spool", "BYTES", "Largest file of a form in memory; larger ones are on disk."),
)
# The limits that C doesn't know.
PYTHON_LIMITS = frozenset(f"form_{name}" for name in FLAGS) - {"form_size"} | {"queue_time"}
