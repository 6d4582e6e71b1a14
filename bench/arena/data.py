"""What all programs of the arena serve: items for JSON, twenty files; the same in each run."""

from __future__ import annotations

import functools
import gzip
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = 50
_KIB = 1024
_WORDS = ("river", "delta", "source", "spring", "mouth", "bank", "ferry", "lock", "weir", "ford")
_CATEGORIES = ("electronics", "tools", "books", "toys", "garden")
# Texts get a sibling by gzip; images and fonts are random bytes, as compressed ones look.
FILES = {
    "reset.css": 4 * _KIB,
    "theme.css": 12 * _KIB,
    "layout.css": 24 * _KIB,
    "parts.css": 96 * _KIB,
    "tools.css": 48 * _KIB,
    "start.js": 6 * _KIB,
    "helpers.js": 16 * _KIB,
    "router.js": 36 * _KIB,
    "app.js": 180 * _KIB,
    "vendor.js": 300 * _KIB,
    "head.html": 5 * _KIB,
    "foot.html": 8 * _KIB,
    "logo.svg": 10 * _KIB,
    "icons.svg": 64 * _KIB,
    "manifest.json": 4 * _KIB,
    "regular.woff2": 20 * _KIB,
    "bold.woff2": 22 * _KIB,
    "hero.webp": 150 * _KIB,
    "small.webp": 15 * _KIB,
    "wide.webp": 80 * _KIB,
}
_TEXT = (".css", ".js", ".html", ".svg", ".json")


def items(count: int = ITEMS) -> list[dict[str, Any]]:
    """The rows of the data set; numbers are integers, so that every language prints them alike."""
    chance = random.Random(15)
    return [
        {
            "id": number + 1,
            "name": f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {number + 1}",
            "category": _CATEGORIES[number % len(_CATEGORIES)],
            "price": chance.randint(5, 500),
            "quantity": chance.randint(1, 90),
            "active": chance.random() < 0.7,
            "tags": chance.sample(_WORDS, 3),
            "rating": {"score": chance.randint(1, 50), "count": chance.randint(1, 900)},
        }
        for number in range(count)
    ]


def priced(count: int, factor: int) -> dict[str, Any]:
    """What /json/COUNT?m=FACTOR responds with."""
    some = items()[:count]
    for item in some:
        item["total"] = item["price"] * item["quantity"] * factor
    return {"items": some, "count": len(some)}


@functools.cache
def content(name: str) -> bytes:
    """The bytes of one of FILES."""
    chance = random.Random(name)
    size = FILES[name]
    if not name.endswith(_TEXT):
        return chance.randbytes(size)
    lines = (
        f"{' '.join(chance.choices(_WORDS, k=10))} {chance.random()};" for _ in range(size // 50)
    )
    return "\n".join(lines)[:size].encode()


def write(folder: Path) -> None:
    """dataset.json, the files below static/, and the same with siblings below packed/."""
    (folder / "dataset.json").parent.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(items()))
    for where in ("static", "packed"):
        (folder / where).mkdir(exist_ok=True)
        for name in FILES:
            (folder / where / name).write_bytes(content(name))
            if where == "packed" and name.endswith(_TEXT):
                packed = gzip.compress(content(name), 6, mtime=0)
                (folder / where / f"{name}.gz").write_bytes(packed)
