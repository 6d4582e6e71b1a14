"""Files of lines KEY=VALUE for the environment, as python-dotenv reads their common form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_SPACE = r"[^\S\n]*"
_ENTRY = re.compile(
    rf"""{_SPACE}(?:export[^\S\n]+)?(?P<key>[A-Za-z_][\w.-]*){_SPACE}
    (?:={_SPACE}(?:
        '(?P<single>(?:[^'\\]|\\.)*)'{_SPACE}(?:\#[^\n]*)?
      | "(?P<double>(?:[^"\\]|\\.)*)"{_SPACE}(?:\#[^\n]*)?
      | (?P<plain>(?!['"])[^\n]*)
    ))?(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_NOTHING = re.compile(rf"{_SPACE}(?:\#[^\n]*)?(?:\n|\Z)")
_COMMENT = re.compile(r"(?:^|\s+)#.*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class EnvFileError(Exception):
    """The file can't be read, or has a line that is no KEY=VALUE; the message names both."""


def read_env_file(path: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file.

    A value may be quoted, and then have several lines. `${NAME}` and `${NAME:-default}` stand for
    a variable of `environ` or of an earlier line, except in single quotes. A key without "=" is
    ignored.

    Raises: EnvFileError when the file can't be read or has a malformed line.
    """
    try:
        text = Path(path).read_text("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise EnvFileError(f"{path} can't be read: {reason}") from None
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        if found := _NOTHING.match(text, at):
            at = found.end()
            continue
        found = _ENTRY.match(text, at)
        if found is None:
            line = text.count("\n", 0, at) + 1
            raise EnvFileError(f"{path}, line {line}: must be KEY=VALUE")
        if (value := _value_of(found, {**values, **environ})) is not None:
            values[found["key"]] = value
        at = found.end()
    return values


def _value_of(found: re.Match[str], known: Mapping[str, str]) -> str | None:
    if (single := found["single"]) is not None:
        return re.sub(r"\\([\\'])", r"\1", single)
    if (double := found["double"]) is not None:
        return _refer(_ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), double), known)
    if (plain := found["plain"]) is not None:
        return _refer(_COMMENT.sub("", plain).rstrip(), known)
    return None


def _refer(text: str, known: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda m: known.get(m[1]) or m[2] or "", text)
