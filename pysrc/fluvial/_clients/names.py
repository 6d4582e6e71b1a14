"""Identifiers from the names of a document: words, and no two alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+|[^\W\d_a-zA-Z]+")
# What source code can't hold as it is: controls other than the end of a line, and halves of
# characters. U+2028 and U+2029 end lines in JavaScript.
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def for_comments(text: str) -> str:
    """A description as comments and docstrings can hold it."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n")).strip()


def words_of(text: str) -> list[str]:
    """The words of a name in any style: `Tree-Input`, `readItem`, `x_api_key`."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("OAuth", "Oauth"))


def snake_case(text: str) -> str:
    """`read_item`."""
    return _start_with_letter("_".join(word.lower() for word in words_of(text)))


def camel_case(text: str) -> str:
    """`readItem`."""
    first, *rest = words_of(text) or [""]
    return _start_with_letter(first.lower() + "".join(word[:1].upper() + word[1:] for word in rest))


def pascal_case(text: str) -> str:
    """`ReadItem`; what is one identifier already stays as it is."""
    if re.fullmatch(r"[A-Z][A-Za-z0-9]*", text):
        return text
    return _start_with_letter("".join(word[:1].upper() + word[1:] for word in words_of(text)), "T")


def upper_case(text: str) -> str:
    """`READ_ITEM`."""
    return _start_with_letter("_".join(word.upper() for word in words_of(text)), "VALUE_")


def _start_with_letter(text: str, before: str = "n") -> str:
    return text if text[:1].isalpha() else f"{before}{text}"


class Names:
    """The names of one scope, each given out once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def add(self, name: str, again: str = "_{}") -> str:
        """The name, with a number if it is taken."""
        found, number = name, 2
        while found in self._taken:
            found, number = name + again.format(number), number + 1
        self._taken.add(found)
        return found

    def add_all(self, names: Iterable[str], style: Callable[[str], str]) -> dict[str, str]:
        """An identifier for each."""
        return {name: self.add(style(name)) for name in names}
