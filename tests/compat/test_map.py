"""fluvial.compat: programs that import fastapi and starlette run on Fluvial, unmodified.

Each test asks an interpreter of its own: the map is in force for a whole process.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from fluvial._compat.names import MODULES

WITH_MAP = "import fluvial.compat; fluvial.compat.install()\n"


def python(program: str, *options: str) -> str:
    """What the program prints, on either stream."""
    command = [sys.executable, *options, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return (done.stdout + done.stderr).strip()


def mapped(program: str) -> str:
    return python(WITH_MAP + textwrap.dedent(program))


def test_nothing_is_mapped_unless_asked_for() -> None:
    program = """
        import sys, fluvial, fluvial.compat
        print(fluvial.compat.installed(), any("fluvial" in repr(f) for f in sys.meta_path))
    """
    assert python(program) == "False False"


def test_names_are_ours() -> None:
    program = """
        import fastapi, fluvial, starlette.responses
        from fastapi import APIRouter, Depends, FastAPI, responses, status
        from starlette.responses import JSONResponse
        assert issubclass(FastAPI, fluvial.App) and APIRouter is fluvial.APIRouter
        assert Depends is fluvial.Depends
        assert JSONResponse is fluvial.JSONResponse is fastapi.responses.JSONResponse
        assert responses is fastapi.responses and "JSONResponse" in dir(responses)
        assert status.HTTP_200_OK == 200
        print(fastapi)
    """
    assert mapped(program) == "<module 'fastapi' (fluvial.compat)>"


def test_routes_can_be_told_apart() -> None:
    program = """
        from fastapi import FastAPI
        from fastapi.routing import APIRoute, APIWebSocketRoute
        from starlette.routing import BaseRoute, Mount
        app = FastAPI(openapi_url=None)
        app.get("/")(lambda: 1)
        app.mount("/m", FastAPI())
        print([isinstance(r, APIRoute) for r in app.routes])
        print([isinstance(r, Mount) for r in app.routes])
        print([isinstance(r, BaseRoute) for r in app.routes])
    """
    expected = ["[True, False]", "[False, True]", "[True, True]"]
    assert mapped(program).split("\n") == expected


def test_it_says_what_it_maps() -> None:
    program = """
        import logging; logging.basicConfig(level="INFO", format="%(message)s")
        import fluvial.compat; fluvial.compat.install()
    """
    assert python(program).startswith("fastapi.* and starlette.* are Fluvial's (")


def test_it_works_without_the_real_packages() -> None:
    """With no site-packages but ours, as when FastAPI isn't installed."""
    program = """
        import sys, importlib.abc
        class Absent(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("fastapi", "starlette"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Absent())
        import fluvial.compat; fluvial.compat.install()
        from fastapi import FastAPI
        print(FastAPI.__module__.partition(".")[0])
    """
    assert python(program) == "fluvial"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("from fastapi import Nonesuch", "which stands for fastapi here, has no 'Nonesuch'"),
        ("from starlette.routing import Nonesuch", "which stands for starlette.routing here"),
        ("import fastapi.nonesuch", "fluvial.compat has no module for fastapi.nonesuch"),
    ],
)
def test_what_we_lack_is_an_import_error_that_says_so(statement: str, message: str) -> None:
    found = mapped(f"try: {statement}\nexcept ImportError as exc: print(exc)")
    assert message in found


def test_probing_for_a_name_is_no_import() -> None:
    assert mapped("import fastapi; print(hasattr(fastapi, 'nonesuch'))") == "False"


def test_star_imports_give_what_is_public() -> None:
    assert mapped("from fastapi.responses import *; print(JSONResponse.__name__)") == "JSONResponse"


def test_it_must_come_first() -> None:
    program = """
        import sys, types
        sys.modules["starlette.types"] = types.ModuleType("starlette.types")
        import fluvial.compat
        try: fluvial.compat.install()
        except RuntimeError as exc: print(exc)
    """
    assert "starlette.types has been imported already" in python(program)


def test_every_module_of_the_map_can_be_imported() -> None:
    program = f"""
        import importlib
        for name in {list(MODULES)}:
            assert importlib.import_module(name).__name__ == name
        print("all")
    """
    assert mapped(program) == "all"
