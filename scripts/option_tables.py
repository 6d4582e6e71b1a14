"""Writes the tables of docs/guide that are made of the sources: limits, and others' names.

    python scripts/option_tables.py

Each stands between two comments, `<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

from fluvial._serving.limits import LIMITS
from fluvial._serving.other_names import ALIASES, IDLE_FLAGS, IDLE_OPTIONS, REFUSED

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"
PAGES = (GUIDE / "configuration.md", GUIDE / "other-servers.md")
UNITS = {"BYTES": "bytes", "BYTES/S": "bytes/s", "SECONDS": "s", "N": "number", "N/S": "number/s"}
_TABLE = re.compile(r"(<!-- ([a-z-]+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def limits() -> str:
    """A row for each limit."""
    rows = [
        f"| `{each.flag}` | `{each.name}` | {each.default:,} | {UNITS[each.unit]} | {each.help} |\n"
        for each in LIMITS
    ]
    return "| flag | name | default | unit | what it bounds |\n|---|---|---|---|---|\n" + "".join(
        rows
    )


def same() -> str:
    """A row for each name that is another one here."""
    rows = [f"| `{name}` | `{ours.strip()}` |\n" for name, ours in ALIASES.items()]
    return "| theirs | ours |\n|---|---|\n" + "".join(rows)


def idle() -> str:
    """A row for each reason to accept and ignore a name."""
    return _by_reason("changes nothing, since", IDLE_FLAGS | IDLE_OPTIONS)


def refused() -> str:
    """A row for each reason to refuse a name."""
    return _by_reason("instead", REFUSED)


def _by_reason(title: str, table: dict[str, str]) -> str:
    names: dict[str, list[str]] = {}
    for name, reason in table.items():
        names.setdefault(reason, []).append(f"`{name}`")
    rows = [f"| {', '.join(each)} | {reason} |\n" for reason, each in names.items()]
    return f"| theirs | {title} |\n|---|---|\n" + "".join(rows)


TABLES = {"limits": limits, "same": same, "idle": idle, "refused": refused}


def filled(text: str) -> str:
    """A page with its tables as they should be."""
    return _TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[4], text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
