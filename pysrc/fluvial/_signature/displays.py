"""What stands inside lists and other displays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_DISPLAYS = (list, tuple, set, frozenset, Mapping)


def items_inside(display: Any) -> Iterator[Any]:
    """The items of a list, tuple or set and the values of a dict, at any depth. None for any other
    object."""
    pending = [display]
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if not isinstance(item, _DISPLAYS) or id(item) in seen:
            continue
        seen.add(id(item))
        items = list(item.values() if isinstance(item, Mapping) else item)
        yield from items
        pending.extend(items)
