"""Documents that other tools write: descriptions, names and references of all kinds."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from fluvial._clients import write_client
from pydantic import TypeAdapter

Load = Callable[[str], ModuleType]
ODD = 'a\0b\x1b[1m\x0bc\x85d\u2028e\ud800 \r\nsecond """ */ \\x line\\'


def document(schemas: dict[str, Any], name: str = "read", **operation: Any) -> dict[str, Any]:
    """A document of one operation, which returns the first schema."""
    schema = {"$ref": f"#/components/schemas/{next(iter(schemas))}"}
    answer = {"description": "", "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Odd", "version": "1"},
        "paths": {"/x": {"get": {"operationId": name, "responses": {"200": answer}, **operation}}},
        "components": {"schemas": schemas},
    }


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    return lambda text: load_module(text, monkeypatch)


def load_module(text: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("client_of_a_document")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # for dataclasses and pydantic
    exec(compile(text.encode(), "client.py", "exec"), vars(module))
    return module


MODEL = {"type": "object", "description": ODD, "properties": {"a": {"description": ODD}}}


def test_descriptions_may_hold_anything(load: Load) -> None:
    told = document({"Model": MODEL}, description=ODD, summary=ODD)
    module = load(write_client(told, "python", "Client"))
    assert "second" in (module.Model.__doc__ or "")
    text = write_client(told, "typescript", "Client")
    text.encode()
    odd = [char for char in text if not (char.isprintable() or char == "\n")]
    assert odd == []


@pytest.mark.parametrize("name", ["list", "dict", "int", "bytes", "str"])
def test_a_method_leaves_the_types_their_names(load: Load, name: str) -> None:
    told = document({"Numbers": {"type": "array", "items": {"type": "integer"}}}, name)
    client = load(write_client(told, "python", "Client")).Client
    assert hasattr(client, f"{name}_")
    assert getattr(client, name, getattr(builtins, name)) is getattr(builtins, name)


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


CIRCLES: dict[str, dict[str, Any]] = {
    "itself": {"A": ref("A")},
    "two": {"A": ref("B"), "B": ref("A")},
    "union": {"A": {"anyOf": [ref("A"), {"type": "integer"}, {"type": "null"}]}},
    "union of two": {"A": {"anyOf": [ref("B"), {"type": "null"}]}, "B": {"oneOf": [ref("A")]}},
    "parts": {"A": {"allOf": [ref("A"), {"properties": {"x": {"type": "integer"}}}]}},
    "parts of two": {"A": {"allOf": [ref("B"), MODEL]}, "B": {"allOf": [ref("A"), MODEL]}},
    "list": {"A": {"type": "array", "items": ref("A")}},
    "list of union": {"A": {"anyOf": [{"type": "string"}, {"type": "array", "items": ref("A")}]}},
    "property": {"A": {"type": "object", "properties": {"a": ref("A"), "b": ref("B")}}, "B": MODEL},
}


@pytest.mark.parametrize("name", CIRCLES)
@pytest.mark.parametrize("language", ["python", "typescript"])
def test_references_may_lead_back(load: Load, name: str, language: str) -> None:
    text = write_client(document(CIRCLES[name]), language, "Client")
    if language == "python":
        module = load(text)
        assert callable(module.Client.read)
        TypeAdapter(module.A)  # a RecursionError for an alias of nothing but itself
    else:
        assert re.search(r"export (type|interface) A\b", text)
        assert not re.search(r"export type (\w+) = (.* \| )?\1( \||;)", text)  # TS2456
    assert write_client(document(CIRCLES[name]), language, "Client") == text
