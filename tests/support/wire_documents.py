"""The cases of tests/wire, whose documents wire/README.md describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = Path(__file__).resolve().parents[1] / "wire"
SECTION = re.compile(
    r"^## (?P<title>.+?)\n.*?^```sent\n(?P<sent>.*?)^```\n```told\n(?P<told>.*?)^```", re.M | re.S
)
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[rnt\\])")
FILL = re.compile(rb"((?:\r\n|[A-Za-z]: [a-z]\r\n|.))\{\.\.\.(\d+)\}", re.S)


@dataclass(frozen=True, slots=True)
class Case:
    """One section of a document."""

    name: str
    raw: bytes
    told: list[str]


def unescape(text: str) -> bytes:
    plain = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
    found = ESCAPE.sub(lambda m: plain.get(m[1]) or chr(int(m[1][1:], 16)), text)
    return found.encode("latin-1")


def fill(raw: bytes) -> bytes:
    return FILL.sub(lambda m: m[1] * int(m[2]), raw)


def bytes_of(block: str) -> bytes:
    lines = []
    for line in block.removesuffix("\n").split("\n"):
        joined = line.endswith("\\") and not line.endswith("\\\\")
        lines.append(unescape(line[:-1]) if joined else unescape(line) + b"\r\n")
    return fill(b"".join(lines))


def cases() -> list[Case]:
    found = []
    for path in sorted(DOCUMENTS.glob("*.md")):
        for section in SECTION.finditer(path.read_text(encoding="utf-8")):
            told = [fill(line.encode()).decode() for line in section["told"].splitlines()]
            name = f"{path.stem}: {section['title']}"
            found.append(Case(name, bytes_of(section["sent"]), told))
    return found


def block_of(raw: bytes) -> str:
    """What a `sent` block says for these bytes."""
    lines = []
    for line in raw.split(b"\r\n"):
        text = "".join(
            chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in line
        )
        lines.append(text)
    last = lines.pop()
    if last:
        lines.append(f"{last}\\")
    return "\n".join(lines) + "\n"
