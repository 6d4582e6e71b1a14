"""What the server compresses and decompresses: the meaning of `compress` and its like."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import _core

if TYPE_CHECKING:
    from .config import Config

# The better one first: zstd is as small as br at a fraction of the time.
PREFERENCE = ("zstd", "br", "gzip")
MINIMUM_SIZE = 1024  # bytes; below it the head is most of what is sent
TYPES = (
    *("text/*", "*+json", "*+xml", "*+text", "*+yaml"),
    *("application/json", "application/javascript", "application/ecmascript", "application/xml"),
    *("application/graphql", "application/jsonl", "application/ndjson", "application/x-ndjson"),
    *("application/jsonlines", "application/toml", "application/yaml", "application/x-yaml"),
    *("application/wasm", "application/rtf", "application/sql", "application/x-sh"),
    *("application/vnd.ms-fontobject", "font/otf", "font/ttf", "image/bmp", "image/x-icon"),
    *("image/vnd.microsoft.icon", "multipart/mixed"),
)


class Choice(NamedTuple):
    """A content coding, and how hard its encoder tries."""

    coding: str
    level: int


def read_codings(codings: tuple[str, ...]) -> tuple[Choice, ...]:
    """The codings of --compress: "NAME", "NAME:LEVEL", or "all" for those that there are.

    Raises: ValueError for a coding that is unknown or not built in.
    """
    choices: dict[str, Choice] = {}
    for text in codings:
        if text == "all":
            for name in PREFERENCE:
                if name in _core.CODINGS:
                    choices.setdefault(name, Choice(name, _core.CODINGS[name][2]))
        else:
            choice = _read_coding(text)
            choices[choice.coding] = choice
    return tuple(choices.values())


def read_decoders(codings: tuple[str, ...]) -> tuple[str, ...]:
    """The codings of --decompress: names, or "all" for those that there are.

    Raises: ValueError for a coding that is unknown or not built in.
    """
    names: dict[str, None] = {}
    for text in codings:
        if text == "all":
            names |= dict.fromkeys(_core.CODINGS)
        else:
            _check_name("decompress", text, text, "or all")
            names[text] = None
    return tuple(names)


def _check_name(option: str, name: str, text: str, words: str) -> None:
    if name not in PREFERENCE:
        raise ValueError(f"{option} takes {', '.join(PREFERENCE)}, {words}; not {text!r}")
    if name not in _core.CODINGS:
        raise ValueError(f"{option}: this build of Fluvial has no {name}")


def _read_coding(text: str) -> Choice:
    name, colon, level = text.partition(":")
    _check_name("compress", name, text, "each with :LEVEL or without, or all")
    lowest, highest, usual = _core.CODINGS[name]
    if not colon:
        return Choice(name, usual)
    if not level.isdecimal() or not lowest <= int(level) <= highest:
        raise ValueError(f"compress: the level of {name} is {lowest} to {highest}, not {level!r}")
    return Choice(name, int(level))


def check_types(types: tuple[str, ...]) -> None:
    """Raises: ValueError unless all are content types, "TYPE/*" or "*+SUFFIX"."""
    for each in types:
        kind, slash, subtype = each.partition("/")
        is_suffix = each.startswith("*+") and "/" not in each
        if not is_suffix and not (slash and kind and subtype and "*" not in kind):
            raise ValueError(
                f"compress_types takes content types, such as text/html, text/* or *+json; "
                f"not {each!r}"
            )


def tell_core(server: _core.Server, config: Config) -> None:
    """Turns on what the configuration says."""
    if config.decompress:
        server.decompress(read_decoders(config.decompress))
    choices = read_codings(config.compress)
    if choices:
        types = " ".join(config.compress_types).lower()
        server.compress(choices, config.compress_min_size, types)
