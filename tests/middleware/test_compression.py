"""CompressionMiddleware: GZipMiddleware with the other codings; see test_gzip.py, too."""

from typing import Any

import pytest
from fluvial import App, FileResponse, PlainTextResponse, Response, StreamingResponse
from fluvial.middleware.compression import CompressionMiddleware
from fluvial.middleware.gzip import GZipMiddleware
from support.codings import DECODERS, decode
from support.middleware import pass_on

TEXT = "A line of text, and another one.\n" * 200


def make(**options: Any) -> App:
    app = App()

    @app.get("/text")
    def text() -> PlainTextResponse:
        return PlainTextResponse(TEXT, headers={"ETag": '"abc"'})

    @app.get("/kept")
    def kept() -> PlainTextResponse:
        return PlainTextResponse(TEXT, headers={"Cache-Control": "no-transform"})

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([TEXT, TEXT, "end"]), media_type="text/plain")

    @app.get("/unchanged")
    def unchanged() -> Response:
        return Response(status_code=304, headers={"ETag": '"abc"'})

    @app.get("/file")
    def file() -> FileResponse:
        return FileResponse(__file__)

    app.add_middleware(CompressionMiddleware, **options)
    return app


BODIES = {"/text": TEXT, "/stream": f"{TEXT}{TEXT}end"}


@pytest.fixture(scope="module", params=["functions", "asgi"])
def client(request: pytest.FixtureRequest):
    from support.serving import serving

    app = make()
    if request.param == "asgi":
        app.middleware("http")(pass_on)
        app.add_middleware(lambda inner: _Outer(inner))
    with serving(app) as served:
        yield served.client


class _Outer:
    """Middleware that is ASGI only, so that what it is around is, too."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("accept", "coding"),
    [(name, name) for name in DECODERS] + [("gzip, br;q=0.9", "gzip"), ("*", "zstd")],
)
def test_the_client_chooses(client: Any, path: str, accept: str, coding: str) -> None:
    with client.stream("GET", path, headers={"accept-encoding": accept}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert decode(coding, raw).decode() == BODIES[path]
    assert response.headers.get("etag") in (None, 'W/"abc"')


def test_what_must_not_be_transformed_is_not(client: Any) -> None:
    response = client.get("/kept", headers={"accept-encoding": "gzip"})
    assert response.text == TEXT
    assert not {"content-encoding", "vary"} & set(response.headers)


def test_levels_choose_codings_and_their_order(serve: Any) -> None:
    client = serve(make(levels={"gzip": 9, "br": 1})).client
    for accept, coding in (("zstd, br, gzip", "gzip"), ("br", "br"), ("zstd", None)):
        headers = {"accept-encoding": accept}
        with client.stream("GET", "/text", headers=headers) as response:
            response.read() if coding is None else list(response.iter_raw())
        assert response.headers.get("content-encoding") == coding


@pytest.mark.parametrize("levels", [{"deflate": 1}, {"gzip": 10}, {"zstd": 0}])
def test_a_coding_or_level_that_there_is_not_is_named(levels: dict[str, int]) -> None:
    name, level = next(iter(levels.items()))
    with pytest.raises(ValueError, match=f"no content coding {name} of level {level}"):
        CompressionMiddleware(make(), levels=levels)
    with pytest.raises(ValueError, match="gzip of level 10"):
        GZipMiddleware(make(), compresslevel=10)


@pytest.mark.parametrize("path", ["/unchanged", "/file"])
def test_a_304_has_the_tag_and_vary_of_its_200(client: Any, path: str) -> None:
    tag = client.get(path, headers={"accept-encoding": "identity"}).headers["etag"]
    weak = f"W/{tag}"
    for accept, sent, got in [("gzip", weak, weak), ("gzip", tag, tag), ("identity", weak, tag)]:
        asked = {"accept-encoding": accept, "if-none-match": f'"other", {sent}'}
        response = client.get(path, headers=asked)
        assert (response.status_code, response.headers["etag"]) == (304, got)
        assert response.headers.get_list("vary") == ["Accept-Encoding"]


def test_a_part_has_the_vary_of_its_200(client: Any) -> None:
    for ranges in ("bytes=0-9", "bytes=0-9,20-29"):
        for accept in ("gzip", "identity"):
            response = client.get("/file", headers={"accept-encoding": accept, "range": ranges})
            assert response.status_code == 206
            assert response.headers.get_list("vary") == ["Accept-Encoding"]
            assert "content-encoding" not in response.headers
