"""`fluvial run --as-fastapi`: a program that imports FastAPI, unmodified."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.command import serving

PROGRAM = """
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
import fastapi

app = FastAPI()


def size(n: int = 1) -> int:
    return n


@app.get("/items/{name}")
def item(name: str, n: int = Depends(size)):
    return {"name": name, "n": n, "module": repr(fastapi), "title": app.title}
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_the_program_runs_on_fluvial(tmp_path: Path, workers: int) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    options = ["--as-fastapi", "--workers", str(workers)]
    with serving("program:app", *options, app_dir=tmp_path) as server:
        answer = httpx.get(f"{server.url}/items/a?n=3").json()
        server.expect(r"fastapi\.\* and starlette\.\* are Fluvial's", workers)
    assert answer == {
        "name": "a",
        "n": 3,
        "module": "<module 'fastapi' (fluvial.compat)>",
        "title": "FastAPI",
    }
