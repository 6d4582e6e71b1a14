"""The routing table beside a naive one: regular expressions, tried in order of registration."""

from __future__ import annotations

import random
import re

import pytest
from fluvial import _core

METHODS = ("GET", "POST", "PUT")
KINDS = {
    "str": r"[^/]+",
    "int": r"[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "path": r"(?s:.*)",
}
UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


class NaiveRouter:
    def __init__(self) -> None:
        self.routes: list[tuple[tuple[str, ...], re.Pattern[str], _core.Plan]] = []

    def add(self, methods: tuple[str, ...], pattern: str, plan: _core.Plan) -> None:
        pieces = re.split(r"\{\w+:(\w+)\}", pattern)
        for i, piece in enumerate(pieces):
            pieces[i] = f"({KINDS[piece]})" if i % 2 else re.escape(piece)
        self.routes.append((methods, re.compile("".join(pieces)), plan))

    def find(self, method: str, path: str) -> tuple[str, _core.Plan | None, tuple[str, ...]]:
        matches = [(*route, match) for route in self.routes if (match := route[1].fullmatch(path))]
        for methods, _, plan, match in matches:
            if method in methods:
                return "found", plan, match.groups()
        if matches:
            allowed = {name for methods, *_ in matches for name in methods}
            return "method_not_allowed", None, tuple(sorted(allowed))
        toggled = path[:-1] if path.endswith("/") else path + "/"
        if path[1:2] not in ("", "/") and any(route[1].fullmatch(toggled) for route in self.routes):
            return "redirect_slash", None, ()
        return "not_found", None, ()


def random_literal(rng: random.Random) -> str:
    return "".join(rng.choices(["a", "b", "/", ".", "1", "-", "ä"], k=rng.randint(1, 4)))


def random_pattern(rng: random.Random) -> str:
    pieces = ["/"]
    for i in range(rng.randint(0, 4)):
        if rng.random() < 0.6:
            pieces.append(random_literal(rng))
        if rng.random() < 0.7:
            kind = rng.choices(list(KINDS), weights=[4, 2, 3, 1, 2])[0]
            pieces.append(f"{{p{i}:{kind}}}")
    return "".join(pieces)


def random_path(rng: random.Random, pattern: str) -> str:
    """A path that often matches `pattern`, or nearly so."""

    def fill(match: re.Match[str]) -> str:
        match match[1]:
            case "int":
                return str(rng.randint(0, 200))
            case "float":
                return rng.choice(["1", "1.1", "11.", "1.1.1", "11.11"])
            case "uuid":
                return UUID
            case "path":
                return "".join(random_literal(rng) for _ in range(rng.randint(0, 3)))
        return random_literal(rng).replace("/", "-")

    path = re.sub(r"\{\w+:(\w+)\}", fill, pattern)
    if rng.random() < 0.4:
        at = rng.randint(1, len(path))
        path = path[:at] + random_literal(rng) + path[at + rng.randint(0, 1) :]
    return path


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_regular_expressions(seed: int) -> None:
    rng = random.Random(seed)
    tree, naive = _core.Router(), NaiveRouter()
    patterns = []
    for _ in range(rng.choice([3, 10, 60])):
        pattern, plan = random_pattern(rng), _core.Plan(print, kind=_core.INLINE)
        methods = tuple(rng.sample(METHODS, rng.randint(1, 2)))
        patterns.append(pattern)
        tree.add(methods, pattern, plan)
        naive.add(methods, pattern, plan)
    for _ in range(300):
        path, method = random_path(rng, rng.choice(patterns)), rng.choice(METHODS)
        assert tree.find(method, path) == naive.find(method, path), (method, path, patterns)
