"""asyncio's private names: each one listed exists in this Python, and each one used is listed."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._loop.private_names import NAMES, OURS, SOME_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pysrc" / "fluvial"
LIST = PACKAGE / "_loop" / "private_names.py"
PRIVATE = re.compile(r"_[A-Za-z]\w*")

LISTED = {name for names in NAMES.values() for name in names}
SOMETIMES = {name for _, name in SOME_VERSIONS}


def has(owner: Any, name: str) -> bool:
    """Whether it is there, or set by a method."""
    if hasattr(owner, name):
        return True
    sets = re.compile(rf"\bself\.{name}\b\s*(=[^=]|:)")
    return isinstance(owner, type) and any(sets.search(source(base)) for base in owner.__mro__)


@functools.cache
def source(kind: type) -> str:
    """Of a class; "" for one in C."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


@pytest.mark.parametrize("owner", NAMES)
def test_this_python_has(owner: str) -> None:
    found = pkgutil.resolve_name(owner)
    assert [name for name in NAMES[owner] if not has(found, name)] == []


@pytest.mark.parametrize(("owner", "name"), SOME_VERSIONS)
def test_some_versions_have(owner: str, name: str) -> None:
    since, until = SOME_VERSIONS[owner, name]
    if since <= sys.version_info < until:
        assert has(pkgutil.resolve_name(owner), name)


# ---- What the sources use ------------------------------------------------------------------------


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names that a module of asyncio's defines, and attributes that its methods set."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def asyncios() -> set[str]:
    """All private names of asyncio, whatever they belong to."""
    folder = Path(asyncio.__file__).parent
    trees = (ast.parse(path.read_text()) for path in folder.glob("*.py"))
    return {name for tree in trees for name in _defined(tree) if PRIVATE.fullmatch(name)}


def _used_by_python(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _used_through_asyncio(tree: ast.AST) -> Iterator[str]:
    """`asyncio.….name`: outside the loop's package other underscores are the framework's own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[0] == "asyncio":
            yield node.attr


def used() -> dict[str, str]:
    """Names that the sources use, and a file that does."""
    found: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        if path != LIST:
            find = _used_by_python if path.parent == LIST.parent else _used_through_asyncio
            found |= dict.fromkeys(find(ast.parse(path.read_text())), path.name)
    for path in (ROOT / "ext").rglob("*.[ch]"):
        if path.parent.name in ("loop", "transport"):
            code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
            found |= dict.fromkeys(re.findall(r'"(\w+)"', code), path.name)
    return found


def test_all_that_is_used_is_listed() -> None:
    listed = LISTED | SOMETIMES | OURS
    private = asyncios()
    missing = {
        name: file for name, file in used().items() if name in private and name not in listed
    }
    assert not missing, "not in _loop/private_names.py"


def _reached_into(tree: ast.AST) -> Iterator[str]:
    """`module._name` of a module of asyncio's, `asyncio.Class._name`, and imports of such names."""
    modules = {path.stem for path in Path(asyncio.__file__).parent.glob("*.py")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            first, *rest = ast.unparse(node.value).split(".")
            if (first in modules and not rest) or (first == "asyncio" and rest):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncio"):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def test_one_file_reaches_into_asyncios_modules() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in PACKAGE.rglob("*.py")
        if (names := sorted(set(_reached_into(ast.parse(path.read_text())))))
    }
    assert list(found) == ["_loop/asyncio_private.py"], found


def test_all_that_is_listed_is_used() -> None:
    assert (LISTED | SOMETIMES | OURS) - used().keys() == set()
