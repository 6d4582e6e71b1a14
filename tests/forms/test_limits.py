"""The limits of forms: what they refuse, how the client is told, and which flags change them."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import fluvial
import pytest
from fluvial import APIRouter, App, Form, Request, UploadFile

if TYPE_CHECKING:
    import httpx
    from conftest import Serve

MIB = 1024 * 1024


def app_with_forms() -> App:
    """A form as parameters, by hand, as parts, and as a body."""
    app = App()

    @app.post("/params")
    async def params(request: Request, text: Annotated[str, Form()] = "") -> Any:
        form = await request.form()
        return [value if isinstance(value, str) else value.size for value in form.values()]

    @app.post("/parts")
    async def parts(request: Request) -> Any:
        return [len(await part.read(10)) async for part in request.parts()]

    @app.post("/body")
    async def body(request: Request) -> Any:
        return len(await request.body())

    @app.post("/own", body_limit=1000)
    async def own(file: UploadFile) -> Any:
        return file.size

    return app


def fields(count: int) -> list[Any]:
    return [(f"f{n}", (None, b"x")) for n in range(count)]


def files(count: int, size: int = 1) -> list[Any]:
    return [(f"f{n}", (f"{n}.txt", bytes(size))) for n in range(count)]


def part(headers: str, body: str = "x") -> tuple[bytes, dict[str, str]]:
    content = f"--b\r\n{headers}\r\n\r\n{body}\r\n--b--\r\n".encode()
    return content, {"content-type": "multipart/form-data; boundary=b"}


# For each limit a value, a form that is just small enough, and one that is too large.
REFUSED: dict[str, tuple[int, dict[str, Any], dict[str, Any], int, str]] = {
    "files": (3, {"files": files(3)}, {"files": files(4)}, 400, "Too many files"),
    "fields": (3, {"files": fields(3)}, {"files": fields(4)}, 400, "Too many fields"),
    "fields-urlencoded": (
        *(3, {"data": dict.fromkeys("abc", "x")}, {"data": dict.fromkeys("abcd", "x")}),
        *(400, "Too many fields"),
    ),
    "parts": (
        *(4, {"files": fields(2) + files(2)}, {"files": fields(2) + files(3)}),
        *(400, "--max-form-parts"),
    ),
    "field_size": (
        *(8, {"files": {"a": (None, b"12345678")}}, {"files": {"a": (None, b"123456789")}}),
        *(400, "Part exceeded maximum size"),
    ),
    "field_size-urlencoded": (
        *(8, {"data": {"a": "1234567"}}, {"data": {"a": "12345678"}}),
        *(400, "Field exceeded maximum size"),
    ),
    "memory": (  # names count, too
        *(20, {"files": [("n", (None, b"1" * 9))] * 2}, {"files": [("n", (None, b"1" * 10))] * 2}),
        *(413, "--max-form-memory"),
    ),
    "memory-urlencoded": (
        *(20, {"data": {"a": "1" * 18}}, {"data": {"a": "1" * 19}}),
        *(413, "--max-form-memory"),
    ),
    "memory-separators": (20, {"data": {"a": ""}}, {"content": b"&" * 21}, 413, "--max-form-me"),
    "name": (
        *(8, {"files": {"12345678": b""}}, {"files": {"123456789": b""}}),
        *(400, "--max-form-name"),
    ),
    "name-file": (
        *(8, {"files": {"a": ("12345678", b"")}}, {"files": {"a": ("123456789", b"")}}),
        *(400, "--max-form-name"),
    ),
    "name-urlencoded": (
        *(8, {"data": {"12345678": "x"}}, {"data": {"123456789": "x"}}),
        *(400, "--max-form-name"),
    ),
    "headers": (
        *(100, {"files": {"a": (None, b"")}}, {"files": {"a": ("a", b"", None, {"x": "y" * 90})}}),
        *(400, "--max-form-headers"),
    ),
    "size": (
        *(1000, {"files": {"a": ("a", bytes(700))}}, {"files": {"a": ("a", bytes(1000))}}),
        *(413, "too large"),
    ),
}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


def post(client: httpx.Client, path: str, **form: Any) -> httpx.Response:
    headers = URLENCODED if "content" in form else None
    return client.post(path, headers=headers, **form)


@pytest.mark.parametrize("case", REFUSED)
def test_a_limit_and_one_more(serve: Serve, case: str) -> None:
    limit, fits, exceeds, status, words = REFUSED[case]
    name = f"form_{case.partition('-')[0]}"
    client = serve(app_with_forms(), limits={name: limit}).client
    assert post(client, "/params", **fits).status_code == 200
    refused = post(client, "/params", **exceeds)
    assert (refused.status_code, words in refused.text) == (status, True), refused.text
    assert post(client, "/params", **fits).status_code == 200


@pytest.mark.parametrize("case", [case for case in REFUSED if "separators" not in case])
def test_zero_is_no_limit(serve: Serve, case: str) -> None:
    name = f"form_{case.partition('-')[0]}"
    client = serve(app_with_forms(), limits={name: 0}).client
    assert post(client, "/params", **REFUSED[case][2]).status_code == 200


def test_limits_are_on_by_default(serve: Serve) -> None:
    client = serve(app_with_forms()).client
    for form in (
        {"files": files(1001)},
        {"files": fields(1001)},
        {"content": b"a=&" * 1001},
        {"files": {"a": (None, bytes(MIB + 1))}},
        {"content": b"a=" + b"x" * MIB},
        {"files": {"a" * 1025: b""}},
        {"files": {"a": ("a", b"", None, {"x": "y" * 8192})}},
    ):
        assert post(client, "/params", **form).status_code == 400
    for form in (
        {"files": [("a", (None, bytes(MIB)))] * 17},
        {"content": b"a=&" * (6 * MIB)},
    ):
        assert post(client, "/params", **form).status_code == 413


def test_many_empty_header_fields_count(serve: Serve) -> None:
    client = serve(app_with_forms(), limits={"form_headers": 100}).client
    content, headers = part("\r\n".join(['Content-Disposition: form-data; name="a"'] + ["x:"] * 40))
    assert client.post("/params", content=content, headers=headers).status_code == 400


def test_limits_of_parts(serve: Serve) -> None:
    client = serve(app_with_forms(), limits={"form_parts": 2, "form_name": 6}).client
    assert client.post("/parts", files=files(2)).json() == [1, 1]
    assert client.post("/parts", files=files(3)).status_code == 400
    assert client.post("/parts", files={"too long": b"1"}).status_code == 400
    too_large = client.post("/parts", files={"a": b"12345678901"})
    assert too_large.status_code == 413
    assert "'a' is larger than 10 bytes" in too_large.text
    assert client.post("/parts", data={"a": "1"}).status_code == 415


def test_a_form_may_be_larger_than_other_bodies(serve: Serve) -> None:
    """Since it is never in memory as a whole. Who wants it as a whole is refused."""
    client = serve(app_with_forms(), limits={"body": 1000}).client
    large = {"a": bytes(2 * MIB)}
    assert client.post("/params", files=large).json() == [2 * MIB]
    assert client.post("/body", files=large).status_code == 413
    assert client.post("/body", content=bytes(1001)).status_code == 413
    assert client.post("/body", content=bytes(1000)).json() == 1000
    assert client.post("/params", data={"a": "x" * 1000}).status_code == 413  # in memory
    assert client.post("/own", files={"file": bytes(2000)}).status_code == 413
    assert client.post("/own", files={"file": bytes(500)}).json() == 500


def test_a_route_may_take_more_than_the_server(serve: Serve) -> None:
    client = serve(app_with_forms(), limits={"form_size": 100}).client
    assert client.post("/own", files={"file": bytes(500)}).json() == 500
    assert client.post("/params", files={"file": bytes(500)}).status_code == 413


def pieces(client: httpx.Client, path: str, size: int) -> httpx.Response:
    """A multipart body of unknown length: chunked."""
    request = client.build_request("POST", path, files={"a": io.BytesIO(bytes(size))})
    headers = {"content-type": request.headers["content-type"]}
    return client.post(path, content=iter([request.read()]), headers=headers)


def test_chunked_forms_have_the_same_limit(serve: Serve) -> None:
    client = serve(app_with_forms(), limits={"form_size": 3 * MIB}).client
    assert pieces(client, "/params", 2 * MIB).json() == [2 * MIB]
    assert pieces(client, "/params", 4 * MIB).status_code == 413
    assert pieces(client, "/params", 2 * MIB).json() == [2 * MIB]


def test_large_forms_are_refused_not_reset(serve: Serve) -> None:
    """The client sends all of it before it reads the response (issue 10, item 8)."""
    client = serve(app_with_forms(), limits={"form_files": 1}).client
    several = [("a", ("a", bytes(10 * MIB)))] * 2
    for _ in range(3):
        response = client.post("/params", files=several)
        assert response.status_code == 400
        assert response.json() == {"detail": "Too many files. Maximum number of files is 1."}


def test_form_limits_of_apps_routers_and_routes(serve: Serve) -> None:
    async def field(text: Annotated[str, Form()]) -> str:
        return text

    child = APIRouter(form_limits={"max_fields": 1})
    child.post("/", form_limits={"max_part_size": 3})(field)
    parent = APIRouter()
    parent.include_router(child, form_limits={"max_fields": 4})
    app = App(form_limits={"max_part_size": 1})
    app.include_router(parent, prefix="/one", form_limits={"max_files": 0})
    app.include_router(parent, prefix="/two", form_limits={"max_files": 1})
    app.post("/app")(field)
    client = serve(app).client
    form: Any = [("text", (None, "abc")), ("file", ("f", b"12345"))]
    assert client.post("/one/", files=form).status_code == 400
    assert client.post("/two/", files=form).json() == "abc"
    assert client.post("/two/", files=[*form, ("text", (None, "z"))]).status_code == 400
    assert client.post("/two/", files={"text": (None, "abcd")}).status_code == 400
    assert client.post("/app", files={"text": (None, "a")}).json() == "a"
    assert client.post("/app", files={"text": (None, "ab")}).status_code == 400


def test_more_fields_or_files_are_as_many_more_parts(serve: Serve) -> None:
    app = App()

    @app.post("/{fields}/{files}")
    async def count(request: Request, fields: int, files: int) -> int:
        return len(await request.form(max_fields=fields, max_files=files))

    client = serve(app, limits={"form_parts": 20, "form_fields": 10, "form_files": 10}).client
    for path, fields, files, status in [
        ("/10/10", 10, 10, 200),
        ("/30/15", 30, 15, 200),
        ("/30/15", 31, 0, 400),
        ("/1/1000", 1, 1000, 200),
        ("/1000000000000000000000000/1", 3000, 1, 200),
    ]:
        form: Any = [(f"a{n}", (None, "")) for n in range(fields)]
        form += [(f"b{n}", ("name", b"")) for n in range(files)]
        response = client.post(path, files=form)
        assert response.status_code == status, path
        assert status == 400 or response.json() == fields + files


def test_form_limits_that_mean_nothing() -> None:
    for limits, words in (
        ({"max_parts": 1}, "max_parts"),
        ({"max_files": -1}, "max_files"),
        ({"max_fields": True}, "max_fields"),
        ({"max_part_size": 1.5}, "max_part_size"),
    ):
        for register in (
            lambda given: App(form_limits=given),
            lambda given: APIRouter(form_limits=given),
            lambda given: App().include_router(APIRouter(), form_limits=given),
            lambda given: App().post("/", form_limits=given),
        ):
            with pytest.raises(ValueError, match=words):
                register(limits)
    with pytest.raises(TypeError, match="form_limits must be a dict"):
        App(form_limits=3)  # type: ignore[arg-type]


def test_a_refused_form_names_its_flag_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "fluvial")
    client = serve(app_with_forms(), limits={"form_fields": 1}).client
    client.post("/params", data={"a": "1", "b": "2"})
    assert "--max-form-fields" in caplog.text


def test_uploads_are_no_query_parameters() -> None:
    async def handler(file: Annotated[UploadFile, fluvial.Query()]) -> None: ...

    with pytest.raises(TypeError, match="an UploadFile is a file of a form"):
        App().post("/")(handler)


@pytest.mark.parametrize("pieces", [1, 3])
def test_empty_fields_cost_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture, pieces: int
) -> None:
    """The parser would look at each separator by itself, and says so."""
    caplog.set_level(logging.DEBUG, "python_multipart")
    content = b"&&&a=1" + b"&" * 100_000 + b"b=&&&&c&" + b"&" * 100_000
    step = len(content) // pieces + 1

    def body() -> Iterator[bytes]:
        for begin in range(0, len(content), step):
            yield content[begin : begin + step]

    app = App()

    @app.post("/")
    async def form(request: Request) -> Any:
        return (await request.form()).multi_items()

    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = serve(app).client.post("/", content=body(), headers=headers)
    assert response.json() == [["a", "1"], ["b", ""], ["c", ""]]
    assert len(caplog.records) < 100, caplog.records[0]
