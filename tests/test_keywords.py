"""`def` and `async def` are one keyword apart: the same source answers the same either way."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.command import EXAMPLES, serving
from support.keywords import switch_keywords

SOURCE = """
import asyncio, contextvars, threading
from typing import Annotated

from fluvial import App, Depends, Header, HTTPException, JSONResponse, Query, Request

app = App()
caller = contextvars.ContextVar("caller", default="nobody")


@app.middleware("http")
async def name_caller(request: Request, call_next):
    caller.set(request.headers.get("x-caller", "somebody"))
    return await call_next(request)


def find_colour(colour: str = "red"):
    return colour


async def find_size(size: int = 1):
    await asyncio.sleep(0)
    return size


@app.get("/items/{item_id}")
KEYWORD read_item(
    item_id: int,
    tags: Annotated[list[str], Query()],
    colour: Annotated[str, Depends(find_colour)],
    size: Annotated[int, Depends(find_size)],
    x_token: Annotated[str | None, Header()] = None,
):
    found = {"item_id": item_id, "tags": tags, "colour": colour, "size": size, "token": x_token}
    return found | {"caller": caller.get()}


@app.post("/items", status_code=201)
KEYWORD create_item(item: dict[str, int]):
    return item


@app.get("/missing")
KEYWORD read_missing():
    raise HTTPException(404, "not here", {"x-why": "never was"})


@app.get("/response")
KEYWORD read_response():
    return JSONResponse([1], 202, {"x-made": "by hand"})


@app.get("/request")
KEYWORD read_request(request: Request):
    return {"path": request.url.path, "method": request.method}


@app.get("/place")
KEYWORD read_place():
    return threading.current_thread() is threading.main_thread()
"""

REQUESTS = [
    ("GET", "/items/3?tags=a&tags=b&colour=blue&size=2", {"headers": {"x-token": "t"}}),
    ("GET", "/items/3?tags=a", {"headers": {"x-caller": "ada"}}),
    ("GET", "/items/x?size=y", {}),
    ("POST", "/items", {"json": {"a": 1}}),
    ("POST", "/items", {"json": {"a": "b"}}),
    ("POST", "/items", {"content": b"{", "headers": {"content-type": "application/json"}}),
    ("GET", "/missing", {}),
    ("GET", "/response", {}),
    ("GET", "/request", {}),
    ("HEAD", "/request", {}),
    ("DELETE", "/request", {}),
]

Answer = tuple[int, dict[str, str], bytes]


def answers(folder: Path, keyword: str) -> tuple[list[Answer], bool]:
    """What the app with that keyword answers, and whether its handlers run in the main thread."""
    folder.mkdir()
    (folder / "app.py").write_text(SOURCE.replace("KEYWORD", keyword))
    found = []
    with serving("app:app", app_dir=folder) as server, httpx.Client(base_url=server.url) as client:
        for method, path, options in REQUESTS:
            response = client.request(method, path, **options)
            headers = {name: text for name, text in response.headers.items() if name != "date"}
            found.append((response.status_code, headers, response.content))
        return found, client.get("/place").json()


def test_same_answers_from_either(tmp_path: Path) -> None:
    in_thread, thread_is_main = answers(tmp_path / "def", "def")
    on_loop, loop_is_main = answers(tmp_path / "async", "async def")
    assert (thread_is_main, loop_is_main) == (False, True)
    for request, one, other in zip(REQUESTS, in_thread, on_loop, strict=True):
        assert one == other, request
    statuses = [status for status, _, _ in on_loop]
    assert statuses == [200, 200, 422, 201, 422, 422, 404, 202, 200, 200, 405]
    assert b'"caller":"ada"' in on_loop[1][2]


def test_switch_changes_only_keywords() -> None:
    source = SOURCE.replace("KEYWORD", "def")
    switched, names = switch_keywords(source)
    assert switched == SOURCE.replace("KEYWORD", "async def")
    assert switch_keywords(switched)[0] == source
    assert "read_item" in names
    assert "name_caller" not in names


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_what_awaits_stays(path: Path) -> None:
    compile(switch_keywords(path.read_text())[0], path.name, "exec")
