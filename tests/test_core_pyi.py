"""`_core.pyi` is the one description of the C types: it and the module name the same things."""

from __future__ import annotations

import ast
from pathlib import Path

import fluvial._core as core

STUB = Path(core.__file__).with_name("_core.pyi")
# What the type checker needs and the module does not have.
TYPING_ONLY = {"ResponseProtocol"}
# What every class has.
COMMON = set(dir(object)) | {"__module__", "__dict__", "__weakref__"}


def stub_names() -> dict[str, set[str] | None]:
    """Top-level names of the stub: a class's members, or None for a function or constant."""
    names: dict[str, set[str] | None] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = {name for item in node.body for name in declared(item)}
        else:
            names.update(dict.fromkeys(declared(node)))
    return names


def declared(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [node.name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def public(obj: object) -> set[str]:
    return {name for name in dir(obj) if not name.startswith("__")}


def test_the_module_has_what_the_stub_names() -> None:
    for name, members in stub_names().items():
        if name in TYPING_ONLY:
            continue
        assert hasattr(core, name), f"_core.{name} stands in the stub only"
        for member in members or ():
            assert hasattr(getattr(core, name), member), f"_core.{name}.{member} is missing"


def test_the_stub_names_what_the_module_has() -> None:
    names = stub_names()
    for name in public(core):
        assert name in names, f"_core.{name} is missing in the stub"
        members = names[name]
        if members is not None and isinstance(cls := getattr(core, name), type):
            own = {m for m in vars(cls) if not m.startswith("__")} - COMMON
            assert own <= members, f"{name}: {sorted(own - members)} missing in the stub"
