"""Layouts of the access log's lines, read from text into the pieces that C writes."""

from __future__ import annotations

import os
import re

from .._messages.header_fields import TOKEN_PATTERN

Piece = str | tuple[str, str, int]  # literal text, or (atom, argument, style)

TEXT, JSON_STRING, JSON_VALUE = range(3)  # AccessStyle of access_format.h

PLAIN = "plain"
COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%({referer}i)s" "%({user-agent}i)s"'
JSON = (
    '{"time":%(time)j,"level":"INFO","client":%(client)j,"user":%(u)j,"method":%(m)j,'
    '"scheme":%(scheme)j,"host":%({host}i)j,"path":%(U)j,"query":%(q)j,"protocol":%(H)j,'
    '"route":%(route)j,"status":%(s)j,"duration":%(L)j,"queue":%(queue)j,'
    '"bytes_in":%(bytes_in)j,"bytes_out":%(bytes_out)j,"referer":%({referer}i)j,'
    '"user_agent":%({user-agent}i)j,"request_id":%(request_id)j,'
    '"traceparent":%({traceparent}i)j,"tls":%(tls)j,'
    '"worker":%(worker)j,"pid":%(pid)j}'
)
_NAMED = {"combined": COMBINED, "json": JSON}

# gunicorn's letters, then our own names.
LETTERS = ("h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "B", "b", "T", "D", "M", "L", "p")
NAMES = (
    *("bytes_in", "bytes_out", "client", "pid", "queue", "reason", "route", "scheme", "time"),
    *("tls", "worker", "request_id"),
)
# Atoms that are others by another name.
_SAME = {"f": ("i", "referer"), "a": ("i", "user-agent"), "traceparent": ("i", "traceparent")}
# What gunicorn's `%({NAME}e)s` knows of a request; other names are the environment's.
_VARIABLES = {
    "REMOTE_ADDR": ("h", ""),
    "REQUEST_METHOD": ("m", ""),
    "PATH_INFO": ("U", ""),
    "QUERY_STRING": ("q", ""),
    "SERVER_PROTOCOL": ("H", ""),
    "CONTENT_TYPE": ("i", "content-type"),
    "CONTENT_LENGTH": ("i", "content-length"),
}
_ATOM = re.compile(rf"%(?:%|\((?:(\w+)|\{{({TOKEN_PATTERN})\}}([ioe]))\)([sj]))")


def read_format(text: str) -> tuple[Piece, ...] | None:
    """The pieces of a format, or of one that "combined" or "json" names; None for "plain".

    Raises: ValueError, with what is wrong in it.
    """
    if text == PLAIN:
        return None
    text = _NAMED.get(text, text)
    if not text or "%" not in text:
        names = ", ".join((PLAIN, *_NAMED))
        raise ValueError(f"access_logformat must be {names} or a format with %(…)s, not {text!r}")
    if any(ord(char) < ord(" ") for char in text):
        raise ValueError("access_logformat: a format has no control characters such as newlines")
    pieces: list[Piece] = []
    end = 0
    for found in _ATOM.finditer(text):
        _add_text(pieces, text[end : found.start()])
        _add_piece(pieces, _read_atom(found, is_json(text)))
        end = found.end()
    _add_text(pieces, text[end:])
    return tuple(pieces)


def is_json(text: str) -> bool:
    """Whether the lines are JSON objects, in which values are escaped as JSON asks."""
    return _NAMED.get(text, text).startswith("{")


def _add_text(pieces: list[Piece], text: str) -> None:
    if (at := text.find("%")) >= 0:
        raise ValueError(
            f"access_logformat: {text[at:][:20]!r} is not an atom such as %(h)s, %({{host}}i)s or "
            "%(route)j; a percent sign is %%"
        )
    _add_piece(pieces, text)


def _add_piece(pieces: list[Piece], piece: Piece) -> None:
    """Adds a piece; one text for neighbouring ones."""
    if isinstance(piece, str) and pieces and isinstance(before := pieces[-1], str):
        pieces[-1] = before + piece
    elif piece:
        pieces.append(piece)


def _read_atom(found: re.Match[str], json: bool) -> Piece:
    name, field, kind, letter = found.groups()
    if letter is None:
        return "%"
    style = JSON_VALUE if letter == "j" else JSON_STRING if json else TEXT
    if name is not None:
        return (*_named_atom(name), style)
    if kind == "e":
        return _variable(field, style)
    return (kind, field.lower(), style)


def _named_atom(name: str) -> tuple[str, str]:
    if name in _SAME:
        return _SAME[name]
    known = (*LETTERS, *_SAME, *NAMES)
    if name not in known:
        others = ", ".join(known)
        raise ValueError(f"access_logformat: there is no atom %({name})s; there are {others}")
    return (name, "")


def _variable(name: str, style: int) -> Piece:
    if name in _VARIABLES:
        return (*_VARIABLES[name], style)
    if name.startswith("HTTP_"):
        return ("i", name[5:].lower().replace("_", "-"), style)
    return _quoted(os.environ.get(name), style)


def _quoted(value: str | None, style: int) -> str:
    """A value that is the same in all lines, as C would write it."""
    if value is None:
        return "null" if style == JSON_VALUE else "-"
    plain = "".join(_escape(byte, style) for byte in os.fsencode(value))
    return f'"{plain}"' if style == JSON_VALUE else plain


def _escape(byte: int, style: int) -> str:
    char = chr(byte)
    if " " <= char <= "~" and char not in '"\\':
        return char
    return f"\\x{byte:02x}" if style == TEXT else f"\\u{byte:04x}"
