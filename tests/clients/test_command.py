"""`fluvial client`: its options, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from clients.conftest import PROGRAMS, make_client

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGES = ("--python", "--typescript")


def document_with(**operation: Any) -> dict[str, Any]:
    fine = {"operationId": "get", "responses": {"200": {"description": "x"}}}
    return {"openapi": "3.1.0", "paths": {"/a": {"get": {**fine, **operation}}}}


def parameter(**of: Any) -> dict[str, Any]:
    return document_with(parameters=[{"name": "p", "in": "query", **of}])


def make(folder: Path, document: dict[str, Any], language: str) -> Any:
    """A client of a document that an app has in the place of its own."""
    (folder / "odd.py").write_text(
        f"import json\nfrom fluvial import App\napp = App()\n"
        f"app.openapi = lambda: json.loads({json.dumps(document)!r})\n"
    )
    return make_client(folder, language, "odd:app", "--app-dir", ".")


@pytest.mark.parametrize("language", LANGUAGES)
def test_to_stdout_with_a_name(tmp_path: Path, language: str) -> None:
    done = make_client(tmp_path, language, *PROGRAMS["tutorial"], "--name", "Rivers")
    assert done.returncode == 0, done.stderr
    assert "class Rivers" in done.stdout
    assert ("class AsyncRivers" in done.stdout) == (language == "--python")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say which language is wanted: --python or --typescript."),
        (("--java",), "No such option"),
        (("--python", "--name", "my-client"), "'my-client' is no name for a class"),
        (("--python", "--name", "class"), "'class' is no name for a class"),
        (("--typescript", "--name", "_Client"), "'_Client' is no name for a class"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = make_client(tmp_path, *arguments, *PROGRAMS["tutorial"])
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_what_is_no_app(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("async def app(scope, receive, send): ...\n")
    done = make_client(tmp_path, "--python", "other:app", "--app-dir", ".")
    assert (done.returncode, done.stdout) == (1, "")
    assert "other:app is not a Fluvial App" in done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            parameter(style="deepObject", schema={"type": "object"}),
            "odd:app: GET /a, query parameter 'p': the style 'deepObject' is not supported",
        ),
        (
            parameter(schema={"type": "object", "properties": {"x": {"type": "integer"}}}),
            "query parameter 'p': an object can't be sent there",
        ),
        (parameter(**{"in": "body"}), "body parameter 'p': a client knows path, query"),
        (parameter(content={"text/csv": {}}), "no content but JSON is supported"),
        (parameter(schema={"$ref": "other.json#/A"}), "'other.json#/A' is no schema of the"),
        (parameter(schema={"type": "file"}), "'file' is no type of JSON Schema"),
        (
            document_with(requestBody={"$ref": "#/components/requestBodies/B"}),
            "'#/components/requestBodies/B' is not in the document",
        ),
        (document_with(security=[{"Key": []}]), "the security scheme 'Key' is not in the"),
        (
            document_with(parameters=[{"name": "p", "in": "path"}]),
            "GET /a: path and parameters don't name the same: p",
        ),
        (
            {"paths": {"http://elsewhere/": document_with()["paths"]["/a"]}},
            "path 'http://elsewhere/' doesn't begin with a slash",
        ),
        (
            document_with() | {"components": {"securitySchemes": {"M": {"type": "mutualTLS"}}}},
            "security scheme 'M': the type 'mutualTLS' is not supported",
        ),
    ],
)
def test_documents_that_are_refused(
    tmp_path: Path, document: dict[str, Any], message: str, language: str
) -> None:
    done = make(tmp_path, document, language)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text("# of before\n")
    (tmp_path / "odd.py").write_text(
        "from fluvial import App\napp = App()\n"
        "app.openapi = lambda: {'paths': {'/{a}': {'get': {'responses': {}}}}}\n"
    )
    done = make_client(tmp_path, "--python", "odd:app", "--app-dir", ".", "--output", "client.py")
    assert done.returncode == 1
    assert (tmp_path / "client.py").read_text() == "# of before\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_union_within_its_own_members(tmp_path: Path, language: str) -> None:
    """The kind of a member is found without reading its other properties, which lead back."""
    (tmp_path / "tree.py").write_text(
        "from typing import Annotated, Literal\n"
        "from fluvial import App\n"
        "from pydantic import BaseModel, Field\n"
        "class Leaf(BaseModel):\n"
        "    kind: Literal['leaf']\n"
        "class And(BaseModel):\n"
        "    kind: Literal['and']\n"
        "    children: list[Annotated['And | Leaf', Field(discriminator='kind')]]\n"
        "app = App()\n"
        "@app.post('/tree')\n"
        "def take(tree: And) -> And:\n"
        "    return tree\n"
    )
    done = make_client(tmp_path, language, "tree:app", "--app-dir", ".")
    assert done.returncode == 0, done.stderr
    assert "And" in done.stdout
