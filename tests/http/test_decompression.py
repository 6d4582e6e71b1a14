"""Bodies of requests in a content coding, by --decompress."""

import asyncio
import hashlib
import json
import re
from typing import Any

import pydantic
import pytest
from fluvial import App, Request, UploadFile, _core
from support import needs
from support.ways import WAYS, served_by

TEXT = b"A line of text, and another one.\n" * 3000
CODINGS = tuple(_core.CODINGS)
ON: dict[str, Any] = {"decompress": ("all",)}
JSON = {"content-type": "application/json"}
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
FORM = b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'


class Item(pydantic.BaseModel):
    name: str
    size: int


def coded(coding: str, data: bytes) -> bytes:
    return _core.Encoder(coding, _core.CODINGS[coding][1]).finish(data)


def make() -> App:
    app = App()

    @app.post("/model")
    async def model(item: Item) -> Item:
        return item

    @app.post("/sync")
    def sync(item: Item) -> Item:
        return item

    @app.post("/stream")
    async def stream(request: Request) -> dict[str, Any]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
        return {"size": size, "fields": sorted({name for name, _ in request.headers.items()})}

    @app.post("/slow")
    async def slow(request: Request) -> str:
        found = hashlib.sha256()
        async for piece in request.stream():
            await asyncio.sleep(0)
            found.update(piece)
        return found.hexdigest()

    @app.post("/upload")
    async def upload(file: UploadFile) -> int:
        return len(await file.read())

    @app.post("/unread")
    async def unread() -> str:
        return "unread"

    return app


@pytest.fixture(scope="module", params=WAYS)
def anywhere(request: pytest.FixtureRequest, certificate: Any):
    with served_by(request.param, make(), certificate, **ON) as client:
        yield client


def post(client: Any, path: str, coding: str, body: Any, **fields: str) -> Any:
    return client.post(path, content=body, headers={"content-encoding": coding} | fields)


@pytest.mark.parametrize("path", ["/model", "/sync"])
def test_a_model_is_read_from_any_coding(anywhere: Any, path: str) -> None:
    item = {"name": "x" * 500, "size": 7}
    body = json.dumps(item).encode()
    for coding in (*CODINGS, "x-gzip", "GZIP", "identity"):
        name = {"x-gzip": "gzip", "GZIP": "gzip"}.get(coding, coding)
        sent = body if coding == "identity" else coded(name, body)
        answer = post(anywhere, path, coding, sent, **JSON)
        assert (answer.status_code, answer.json()) == (200, item), coding


def test_pieces_are_decoded_as_they_arrive(anywhere: Any) -> None:
    for coding in CODINGS:
        body = coded(coding, TEXT)
        pieces = (body[n : n + 7] for n in range(0, len(body), 7))
        answer = post(anywhere, "/stream", coding, pieces).json()
        assert answer["size"] == len(TEXT)
        assert not {"content-encoding", "content-length"} & set(answer["fields"])
        assert {"host", "user-agent"} <= set(answer["fields"])
        assert post(anywhere, "/stream", coding, body).json() == answer | {
            "fields": [name for name in answer["fields"] if name != "transfer-encoding"]
        }


def test_a_form_may_be_compressed(anywhere: Any) -> None:
    form = FORM + TEXT + b"\r\n--b--\r\n"
    for coding in CODINGS:
        answer = post(anywhere, "/upload", coding, coded(coding, form), **MULTIPART)
        assert answer.json() == len(TEXT)


def test_gzip_may_have_several_members(anywhere: Any) -> None:
    body = b"".join(coded("gzip", TEXT[n : n + 10_000]) for n in range(0, len(TEXT), 10_000))
    assert post(anywhere, "/stream", "gzip", body).json()["size"] == len(TEXT)


SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"  # RFC 8878 section 3.1.2
LEGACY = b"\x25\xb5\x2f\xfd\x00\x00\x00\x00"  # a whole frame of zstd 0.5
STEPS = pytest.mark.parametrize("step", [0, 1, 7])


def in_pieces(body: bytes, step: int) -> Any:
    return iter([body[n : n + step] for n in range(0, len(body), step)]) if step else body


@needs.ZSTD
@STEPS
def test_zstd_may_have_several_frames(anywhere: Any, step: int) -> None:
    frames = [
        coded("zstd", TEXT[:100]),
        SKIPPABLE,
        coded("zstd", b""),
        coded("zstd", TEXT[100:300]),
    ]
    body = b"".join((SKIPPABLE, *frames))
    assert post(anywhere, "/stream", "zstd", in_pieces(body, step)).json()["size"] == 300


@needs.ZSTD
@STEPS
@pytest.mark.parametrize("before", [b"", SKIPPABLE, "frame"])
def test_older_formats_of_zstd_are_refused(anywhere: Any, before: Any, step: int) -> None:
    """However they arrive: the library's decoders of them see pieces differently."""
    body = (coded("zstd", TEXT[:100]) if before == "frame" else before) + LEGACY
    answer = post(anywhere, "/stream", "zstd", in_pieces(body, step))
    assert answer.json() == {"detail": "The compressed body is malformed"}
    assert answer.status_code == 400


@needs.ZSTD
@STEPS
def test_a_frame_of_zstd_has_the_size_that_it_states(anywhere: Any, step: int) -> None:
    """Of an empty last block the library doesn't look at that, if it comes in pieces."""
    for size, content, status in ((1, b"", 400), (0, b"", 200), (2, b"ab", 200), (3, b"ab", 400)):
        block = bytes([len(content) << 3 | 1, 0, 0]) + content  # raw, the last
        frame = b"\x28\xb5\x2f\xfd\x20" + bytes([size]) + block
        for body in (frame, frame + coded("zstd", b""), SKIPPABLE + frame):
            answer = post(anywhere, "/stream", "zstd", in_pieces(body, step))
            assert answer.status_code == status


@needs.ZSTD
def test_a_frame_of_zstd_means_the_same_in_pieces(anywhere: Any) -> None:
    """The library decodes what it gets at once by other code: here a block of no bytes."""
    frame = b"\x28\xb5\x2f\xfd\x20\x00\x03\x00\x00+"
    answers = [
        post(anywhere, "/stream", "zstd", in_pieces(body, step))
        for step in (0, 1, 7)
        for body in (frame, coded("zstd", TEXT[:9]) + frame)
    ]
    assert len({answer.status_code for answer in answers}) == 1


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused(serve: Any, coding: str) -> None:
    """However it is read, and though the limit of the body would allow it."""
    served = serve(make(), **ON, limits={"body": 2**30})
    bomb = coded(coding, FORM + bytes(20_000_000))
    assert len(bomb) < 25_000
    for path, kind in (("/model", JSON), ("/stream", JSON), ("/upload", MULTIPART)):
        answer = post(served.client, path, coding, bomb, **kind)
        assert answer.status_code == 413, path
        assert "compressed too much" in answer.text
    assert post(served.client, "/stream", coding, coded(coding, TEXT)).status_code == 200


def test_the_limits_count_decoded_bytes(serve: Any) -> None:
    limits = {"body": 50_000, "decode_ratio": 0}
    client = serve(make(), **ON, limits=limits).client
    for coding in CODINGS:
        answer = post(client, "/stream", coding, coded(coding, TEXT))
        assert (answer.status_code, answer.json()) == (413, {"detail": "The body is too large"})
        answer = post(client, "/stream", coding, coded(coding, TEXT[:50_000]))
        assert answer.json()["size"] == 50_000


def test_the_ratio_can_be_chosen(serve: Any) -> None:
    body = coded("gzip", bytes(5_000_000))
    for ratio, status in ((10, 413), (0, 200), (1100, 200)):
        client = serve(make(), **ON, limits={"decode_ratio": ratio}).client
        assert post(client, "/stream", "gzip", body).status_code == status


@pytest.mark.parametrize("coding", ["deflate", "gzip, gzip", "gzip, identity", "zip", "brotli"])
def test_another_coding_is_refused(anywhere: Any, coding: str) -> None:
    answer = post(anywhere, "/stream", coding, coded("gzip", TEXT))
    assert answer.status_code == 415
    assert answer.json() == {"detail": "The content coding of the body is not supported"}
    assert answer.headers.get_list("accept-encoding") == [", ".join(_core.CODINGS)]


def test_a_coding_that_is_not_chosen_is_refused(serve: Any) -> None:
    client = serve(make(), decompress=("br",)).client
    assert post(client, "/stream", "br", coded("br", TEXT)).status_code == 200
    answer = post(client, "/stream", "gzip", coded("gzip", TEXT))
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "br")


def test_a_coding_named_twice_is_refused(serve: Any) -> None:
    fields = [("content-encoding", "gzip"), ("content-encoding", "gzip")]
    client = serve(make(), **ON).client
    body = coded("gzip", coded("gzip", TEXT))
    assert client.post("/stream", content=body, headers=fields).status_code == 415


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("path", ["/model", "/stream"])
def test_what_is_not_the_coding_is_refused(serve: Any, path: str, coding: str) -> None:
    client = serve(make(), **ON).client
    whole = coded(coding, TEXT)
    for body, words in (
        (b"\xff\xff not this coding at all", "The compressed body is malformed"),
        (whole[:-3], "The compressed body is cut off"),
        (whole + b"\xffmore", "The compressed body is malformed"),
    ):
        answer = post(client, path, coding, body, **JSON)
        assert (answer.status_code, answer.json()) == (400, {"detail": words})


def test_a_slow_reader_gets_everything(anywhere: Any) -> None:
    text = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(8_000))
    for coding in CODINGS:
        answer = post(anywhere, "/slow", coding, coded(coding, text))
        assert answer.json() == hashlib.sha256(text).hexdigest()


def test_an_empty_body_has_no_coding(anywhere: Any) -> None:
    for empty in (b"", iter(())):  # with a Content-Length, and without
        assert post(anywhere, "/stream", "gzip", empty).json()["size"] == 0
    assert anywhere.get("/none", headers={"content-encoding": "gzip"}).status_code == 404


def test_a_body_that_nobody_reads_is_not_decoded(serve: Any) -> None:
    served = serve(make(), **ON)
    assert post(served.client, "/unread", "gzip", b"not gzip at all").json() == "unread"
    assert post(served.client, "/unread", "gzip", coded("gzip", TEXT)).json() == "unread"


def test_by_default_the_body_and_its_fields_stay(serve: Any) -> None:
    answer = post(serve(make()).client, "/stream", "gzip", coded("gzip", TEXT)).json()
    assert answer["size"] == len(coded("gzip", TEXT))
    assert {"content-encoding", "content-length"} <= set(answer["fields"])


def test_the_next_request_is_its_own(serve: Any) -> None:
    body = coded("gzip", TEXT)
    fields = b"Host: x\r\nContent-Length: %d\r\n"
    first = b"POST /stream HTTP/1.1\r\nContent-Encoding: gzip\r\n" + fields % len(body) + b"\r\n"
    last = b"POST /stream HTTP/1.1\r\nConnection: close\r\n" + fields % 5 + b"\r\nplain"
    reply = serve(make(), **ON).exchange(first + body + first + body + last)
    assert [int(size) for size in re.findall(rb'"size":(\d+)', reply)] == [len(TEXT)] * 2 + [5]


def test_apps_of_other_kinds_get_the_decoded_body(serve: Any) -> None:
    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        kept = [name for name in ("CONTENT_LENGTH", "HTTP_CONTENT_ENCODING") if environ.get(name)]
        return [f"{size} {kept}".encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message.get("more_body"):
                break
        kept = [n for n, _ in scope["headers"] if n in (b"content-length", b"content-encoding")]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{size} {kept}".encode()})

    for app in (wsgi, asgi):
        client = serve(app, lifespan="off", **ON).client
        for coding in CODINGS:
            answer = post(client, "/", coding, coded(coding, TEXT))
            assert answer.text == f"{len(TEXT)} []"


def test_a_wrong_option_is_named() -> None:
    from fluvial import Config

    with pytest.raises(ValueError, match="decompress takes zstd, br, gzip, or all; not 'deflate'"):
        Config(decompress=("deflate",))


@pytest.mark.parametrize("limit", [16_384, 32_768, 49_152])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_limit_that_is_the_size_of_a_buffer_holds(serve: Any, coding: str, limit: int) -> None:
    client = serve(make(), **ON, limits={"body": limit, "decode_ratio": 0}).client
    for size, status in ((limit, 200), (limit + 1, 413)):
        answer = post(client, "/stream", coding, coded(coding, TEXT[:size]))
        assert answer.status_code == status
