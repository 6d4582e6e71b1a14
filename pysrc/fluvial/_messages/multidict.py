"""Ordered pairs whose keys may repeat: queries, forms, and what programs make of them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

V = TypeVar("V")


class ImmutableMultiDict(Mapping[str, V], Generic[V]):
    """A look-up gives the last value, `getlist` all."""

    __slots__ = ("_dict", "_pairs")

    def __init__(
        self,
        pairs: ImmutableMultiDict[V] | Mapping[str, V] | Iterable[tuple[str, V]] = (),
        /,
        **more: V,
    ) -> None:
        self._pairs = [*_pairs_of(pairs), *more.items()]
        self._dict = dict(self._pairs)

    def getlist(self, key: str) -> list[V]:
        """All values of a key, in order."""
        return [value for name, value in self._pairs if name == key]

    def multi_items(self) -> list[tuple[str, V]]:
        """All pairs in order."""
        return list(self._pairs)

    def keys(self) -> KeysView[str]:
        """Every key once."""
        return self._dict.keys()

    def values(self) -> ValuesView[V]:
        """The last value of each key."""
        return self._dict.values()

    def items(self) -> ItemsView[str, V]:
        """Each key with its last value."""
        return self._dict.items()

    def __getitem__(self, key: str) -> V:
        value: V = self._dict[key]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImmutableMultiDict):
            return NotImplemented
        return self._by_key() == other._by_key()

    def _by_key(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for key, value in self._pairs:
            found.setdefault(key, []).append(value)
        return found

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


class MultiDict(ImmutableMultiDict[V]):
    """The same, to be changed."""

    __slots__ = ()

    def __setitem__(self, key: str, value: V) -> None:
        self.setlist(key, [value])

    def __delitem__(self, key: str) -> None:
        del self._dict[key]
        self._pairs = [pair for pair in self._pairs if pair[0] != key]

    def pop(self, key: str, default: Any = None) -> V | Any:
        """Removes a key; returns its last value, or the default."""
        values = self.poplist(key)
        return values[-1] if values else default

    def popitem(self) -> tuple[str, V]:
        """Removes the last key; returns it with its last value. Raises: KeyError if empty."""
        key, value = self._dict.popitem()
        self._pairs = [pair for pair in self._pairs if pair[0] != key]
        return key, value

    def poplist(self, key: str) -> list[V]:
        """Removes a key; returns its values."""
        values = self.getlist(key)
        if values:
            del self[key]
        return values

    def clear(self) -> None:
        """Removes all."""
        self._pairs.clear()
        self._dict.clear()

    def setdefault(self, key: str, default: V) -> V:
        """The value of a key, which is the default if it has none yet."""
        if key not in self:
            self.append(key, default)
        return self[key]

    def setlist(self, key: str, values: list[V]) -> None:
        """Replaces the values of a key; it is removed if there are none."""
        self._pairs = [pair for pair in self._pairs if pair[0] != key]
        self._pairs += [(key, value) for value in values]
        self._dict = dict(self._pairs)

    def append(self, key: str, value: V) -> None:
        """Adds a value, and keeps those that are there."""
        self._pairs.append((key, value))
        self._dict[key] = value

    def update(
        self,
        pairs: ImmutableMultiDict[V] | Mapping[str, V] | Iterable[tuple[str, V]] = (),
        /,
        **more: V,
    ) -> None:
        """Replaces the values of all keys that are given."""
        new = [*_pairs_of(pairs), *more.items()]
        names = {name for name, _ in new}
        self._pairs = [pair for pair in self._pairs if pair[0] not in names] + new
        self._dict = dict(self._pairs)


class QueryParams(ImmutableMultiDict[str]):
    """The query of a URL, decoded."""

    __slots__ = ()

    def __init__(
        self,
        query: str | bytes | Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        **more: Any,
    ) -> None:
        if isinstance(query, bytes):
            query = query.decode("latin-1")
        if isinstance(query, str):
            query = parse_qsl(query, keep_blank_values=True)
        pairs = [*_pairs_of(query), *more.items()]
        super().__init__([(str(name), str(value)) for name, value in pairs])

    def __str__(self) -> str:
        return urlencode(self._pairs)

    def __repr__(self) -> str:
        return f"QueryParams({str(self)!r})"


def _pairs_of(given: Any) -> list[tuple[str, Any]]:
    if isinstance(given, ImmutableMultiDict):
        return given.multi_items()
    return list(given.items() if isinstance(given, Mapping) else given)
