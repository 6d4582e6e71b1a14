"""The list of breakages: one TOML file for each area beside this file (see README.md)."""

from __future__ import annotations

import ast
import fnmatch
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

KEYS = {"id", "file", "old", "new", "why", "tests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One breakage. `name` is the area, a slash and the id; `tests` are nodes of pytest's."""

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]

    def broken(self, text: str) -> str:
        """The file's text with the breakage. Raises: ValueError when it doesn't apply."""
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"the old text occurs {found} times in {self.file}, not once")
        return text.replace(self.old, self.new)


def load(patterns: list[str] | None = None) -> list[Mutant]:
    """All mutants whose name matches one of the patterns: `ws/*`, `*fork*`."""
    mutants = []
    for path in sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["mutant"]:
            name = f"{path.stem}/{entry.get('id', '?')}"
            if set(entry) != KEYS:
                raise ValueError(f"{name}: a mutant has {sorted(KEYS)}, this one {sorted(entry)}")
            rest = {key: value for key, value in entry.items() if key not in ("id", "tests")}
            mutants.append(Mutant(name=name, tests=tuple(entry["tests"]), **rest))
    if not patterns:
        return mutants
    return [m for m in mutants if any(fnmatch.fnmatchcase(m.name, p) for p in patterns)]


def faults(mutant: Mutant, root: Path = ROOT) -> list[str]:
    """Why the mutant can't be tried: the source has changed, or a test is gone."""
    found = []
    if not mutant.file.startswith(("ext/", "pysrc/")) or not (root / mutant.file).is_file():
        found.append(f"no such source: {mutant.file}")
    else:
        try:
            if mutant.broken((root / mutant.file).read_text()) == (root / mutant.file).read_text():
                found.append("the new text is the old one")
        except ValueError as error:
            found.append(str(error))
    if not mutant.tests:
        found.append("no test is named")
    found.extend(f"no such test: {node}" for node in mutant.tests if not _exists(root, node))
    return found


def _exists(root: Path, node: str) -> bool:
    """Whether there is such a file or function; what stands in brackets isn't looked at."""
    file, _, name = node.partition("[")[0].partition("::")
    if not (root / file).is_file():
        return False
    return not name or name.split("::")[-1] in _functions(root / file)


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))
