"""A parameter of a dependency that several share is told of each time, as in FastAPI."""

from types import SimpleNamespace
from typing import Any

import fastapi
import fluvial
from fluvial.testclient import TestClient
from support.both import serve_both, tell


def make(names: SimpleNamespace) -> Any:
    depends: Any = fastapi.Depends if names.App is fastapi.FastAPI else fluvial.Depends
    app = names.App()

    def number(q: int, r: int = 1) -> int:
        return q

    def twice(n: int = depends(number), s: int = 0) -> int:
        return n * 2

    async def waiting(n: int = depends(number)) -> int:
        return n

    @app.get("/two")
    def two(a: int = depends(number), b: int = depends(number)):
        return [a, b]

    @app.get("/nested")
    async def nested(
        z: int, a: int = depends(twice), b: int = depends(number), c: int = depends(waiting)
    ):
        return [a, b, c]

    @app.get("/uncached")
    def uncached(a: int = depends(number), b: int = depends(number, use_cache=False)):
        return [a, b]

    @app.get("/beside", dependencies=[depends(number)])
    def beside(a: int = depends(number)):
        return a

    @app.post("/body")
    def body(data: dict[str, int], a: int = depends(number), b: int = depends(twice)):
        return [data, a, b]

    return app


def test_each_use_tells_of_it(serve) -> None:
    ours, theirs = serve_both(serve, make)
    for path in ("two", "nested", "uncached", "beside"):
        for query in ("", "q=x", "q=1&r=y&s=z&z=0", "q=1&z=0"):
            answers = [tell(each.get(f"/{path}?{query}")) for each in (ours, theirs)]
            assert answers[0] == answers[1], (path, query)
    for sent in ({"a": "x"}, {"a": 1}):
        answers = [tell(each.post("/body?q=x", json=sent)) for each in (ours, theirs)]
        assert answers[0] == answers[1], sent


def test_their_number_is_bounded() -> None:
    def first(q: int) -> int:
        return q

    last: Any = first
    for _ in range(10):

        def both(a: int = fluvial.Depends(last), b: int = fluvial.Depends(last)) -> int:
            return a

        last = both
    app = fluvial.App()
    app.get("/")(last)
    with TestClient(app) as client:
        assert len(client.get("/").json()["detail"]) == 1
