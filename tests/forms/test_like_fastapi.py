"""Forms as FastAPI reads them: each program runs on both, and the responses are compared."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import fastapi
import fastapi.security as theirs
import fluvial
import fluvial.security as ours
import httpx
import pytest
from conftest import Serve
from pydantic import AliasChoices, BaseModel, Field


@dataclass
class Names:
    """What the programs below take from either framework."""

    App: Any
    Form: Any
    File: Any
    UploadFile: Any
    Depends: Any
    Request: Any
    Login: Any
    StrictLogin: Any


FASTAPI = Names(
    *(fastapi.FastAPI, fastapi.Form, fastapi.File, fastapi.UploadFile),
    *(fastapi.Depends, fastapi.Request),
    *(theirs.OAuth2PasswordRequestForm, theirs.OAuth2PasswordRequestFormStrict),
)
FLUVIAL = Names(
    *(fluvial.App, fluvial.Form, fluvial.File, fluvial.UploadFile),
    *(fluvial.Depends, fluvial.Request),
    *(ours.OAuth2PasswordRequestForm, ours.OAuth2PasswordRequestFormStrict),
)


class Person(BaseModel):
    """A form's model."""

    name: str
    age: int = 7
    tags: list[str] = []


class Strict(BaseModel):
    """A model that takes no other fields."""

    model_config = {"extra": "forbid"}
    name: str


class Loose(BaseModel):
    """A model that keeps other fields."""

    model_config = {"extra": "allow"}
    name: str


def add_fields(app: Any, f: Names) -> None:
    """Routes that take fields of a form."""

    @app.post("/scalars")
    async def scalars(
        name: Annotated[str, f.Form(min_length=2)],
        age: Annotated[int, f.Form()] = 3,
        nick: Annotated[str | None, f.Form(alias="Nick-Name")] = None,
    ) -> Any:
        return [name, age, nick]

    @app.post("/def")
    def in_thread(name: str = f.Form(), tags: list[int] = f.Form([])) -> Any:  # noqa: B008
        return [name, tags]

    @app.post("/query/{n}")
    async def with_query(n: int, q: int, name: Annotated[str, f.Form()]) -> Any:
        return [n, q, name]

    def who(name: Annotated[str, f.Form()]) -> str:
        return name.upper()

    @app.post("/depends")
    async def depends(who: Annotated[str, f.Depends(who)], name: Annotated[str, f.Form()]) -> Any:
        return [who, name]


class Aliased(BaseModel):
    """A model with a choice of names."""

    model_config = {"extra": "forbid"}
    value: str = Field(validation_alias=AliasChoices("first", "second"))


def add_models(app: Any, f: Names) -> None:
    """Routes that take a form as a model."""

    @app.post("/person")
    async def person(it: Annotated[Person, f.Form()]) -> Any:
        return it.model_dump()

    @app.post("/aliased")
    async def aliased(it: Annotated[Aliased, f.Form()]) -> Any:
        return it.value

    @app.post("/strict")
    def strict(it: Annotated[Strict, f.Form()]) -> Any:
        return it.model_dump()

    @app.post("/loose")
    async def loose(it: Annotated[Loose, f.Form()]) -> Any:
        return it.model_dump()

    @app.post("/optional")
    async def optional(it: Annotated[Person | None, f.Form()] = None) -> Any:
        return it and it.model_dump()

    @app.post("/two")
    async def two(it: Annotated[Person, f.Form()], token: Annotated[str, f.Form()]) -> Any:
        return [it.model_dump(), token]


class Cat(BaseModel):
    """One of two models."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]
    toys: list[str] = []


def add_choices(app: Any, f: Names) -> None:
    """Routes that take one of several models, and those of `security`."""

    @app.post("/union")
    async def union(it: Annotated[Cat | Dog, f.Form()]) -> Any:
        return it.model_dump()

    @app.post("/tagged")
    def tagged(it: Annotated[Cat | Dog, f.Form(), Field(discriminator="kind")]) -> Any:
        return it.model_dump()

    @app.post("/tagged-or-none")
    async def tagged_or_none(
        it: Annotated[Cat | Dog | None, f.Form(discriminator="kind")] = None,
    ) -> Any:
        return it and it.model_dump()

    @app.post("/login")
    def login(it: Annotated[f.Login, f.Depends()]) -> Any:
        return vars(it)

    @app.post("/strict-login")
    async def strict_login(it: Annotated[f.StrictLogin, f.Depends()]) -> Any:
        return vars(it)


def add_files(app: Any, f: Names) -> None:
    """Routes that take files."""

    @app.post("/file")
    async def file(file: f.UploadFile) -> Any:
        content = (await file.read()).decode()
        return [file.filename, file.content_type, file.size, content]

    @app.post("/file-def")
    def file_def(file: Annotated[f.UploadFile, f.File()]) -> Any:
        return [file.filename, file.file.read().decode()]

    @app.post("/bytes")
    async def as_bytes(file: Annotated[bytes, f.File()]) -> Any:
        return len(file)

    @app.post("/maybe")
    async def maybe(
        file: f.UploadFile | None = None, data: Annotated[bytes | None, f.File()] = None
    ) -> Any:
        return [file and file.filename, data and len(data)]

    @app.post("/files")
    async def files(files: list[f.UploadFile]) -> Any:
        return [[file.filename, len(await file.read())] for file in files]

    @app.post("/many-bytes")
    def many_bytes(files: Annotated[list[bytes], f.File()]) -> Any:
        return [len(file) for file in files]

    @app.post("/mixed")
    async def mixed(
        a: Annotated[bytes, f.File()],
        b: Annotated[f.UploadFile, f.File()],
        token: Annotated[str, f.Form()],
    ) -> Any:
        return [len(a), b.content_type, token]

    @app.post("/raw")
    async def raw(request: f.Request) -> Any:
        async with request.form(max_files=2, max_fields=3, max_part_size=8) as form:
            return [
                [name, value if isinstance(value, str) else value.filename]
                for name, value in form.multi_items()
            ]


def program(names: Names) -> Any:
    """All of it as an app."""
    app = names.App()
    add_fields(app, names)
    add_models(app, names)
    add_choices(app, names)
    add_files(app, names)
    return app


FORM = "application/x-www-form-urlencoded"
FIELDS = [
    "name=ann", "name=ann&age=4", "name=a&age=x", "", "name=", "age=5", "name=ann&name=bob",
    "name=ann&Nick-Name=x+y%26", "name=%C3%A9t%C3%A9", "name=ann&tags=1&tags=2",
    "name=ann&tags=x", "name=ann&other=1&other=2", "other=1", "&&name=ann&&", "name", "=x",
    "name=ann&token=t", "first=1", "first=&second=2", "first=1&second=2", "second=2",
    "kind=cat", "kind=dog&toys=a&toys=", "kind=dog&toys=a", "kind=cow",
    "kind=cat&lives=x", "kind=", "username=u&password=p", "username=u", "password=",
    "username=u&password=p&grant_type=password&scope=a+b&client_id=c&client_secret=s",
    "username=u&password=p&grant_type=code", "name=%ff&age=1", "name=a=b&age=+1",
]  # fmt: skip
PATHS = [
    *("/scalars", "/def", "/query/1?q=2", "/query/x?q=y", "/depends", "/person"),
    *("/strict", "/loose", "/optional", "/two", "/maybe", "/raw"),
    *("/aliased", "/union", "/tagged", "/tagged-or-none", "/login", "/strict-login"),
]
FILES: list[Any] = [
    [("file", ("a.txt", b"hello", "text/plain"))],
    [("file", ("", b""))],
    [("file", (None, b"text"))],
    [("other", ("a.txt", b"hello"))],
    [("files", ("a.txt", b"1")), ("files", ("b.txt", b"22"))],
    [("files", ("", b"")), ("files", ("b.txt", b"22"))],
    [("files", (None, b"text"))],
    [("a", ("a", b"aa")), ("b", ("b", b"bb", "x/y")), ("token", (None, b"t"))],
    [("data", ("d", b"123")), ("file", ("f", b""))],
    [("file", ("été ünï.txt", b"hello"))],
    [("file", ("a.txt", b"x" * (1024 * 1024 + 1)))],
    [("a", (None, b"123456789"))],
    [(f"{n}", (f"{n}", b"")) for n in range(3)],
    [(f"{n}", (None, b"1")) for n in range(4)],
]
FILE_PATHS = [
    *("/file", "/file-def", "/bytes", "/maybe", "/files", "/many-bytes", "/mixed", "/raw"),
    *("/scalars", "/person", "/strict"),
]


@pytest.fixture
def both(serve: Serve) -> list[httpx.Client]:
    """Clients for FastAPI's program and for ours."""
    return [serve(program(FASTAPI)).client, serve(program(FLUVIAL)).client]


def seen(response: httpx.Response) -> tuple[int, Any]:
    """What is compared. The class in a message has the name of its framework."""
    text = response.text.replace("starlette.", "fluvial.")
    return response.status_code, without_files(json.loads(text))


def without_files(value: Any) -> Any:
    """The same without what an UploadFile in an error looks like: theirs shows its insides."""
    if isinstance(value, list):
        return [without_files(item) for item in value]
    if isinstance(value, dict):
        if "filename" in value:
            return value["filename"]
        return {name: without_files(item) for name, item in value.items()}
    return value


def compare(clients: list[httpx.Client], *args: Any, **options: Any) -> int:
    """Sends one request to both; returns the status."""
    theirs, ours = (seen(client.request(*args, **options)) for client in clients)
    assert ours == theirs
    return ours[0]


@pytest.mark.parametrize("path", PATHS)
def test_urlencoded(path: str, both: list[httpx.Client]) -> None:
    for body in FIELDS:
        compare(both, "POST", path, content=body, headers={"content-type": FORM})


@pytest.mark.parametrize("path", FILE_PATHS)
def test_multipart(path: str, both: list[httpx.Client]) -> None:
    for files in FILES:
        compare(both, "POST", path, files=files)


@pytest.mark.parametrize("path", ["/scalars", "/person", "/file", "/raw"])
def test_other_bodies(path: str, both: list[httpx.Client]) -> None:
    """Malformed ones, and those of other types."""
    assert compare(both, "POST", path) == (200 if path == "/raw" else 422)
    compare(both, "POST", path, json={"name": "ann"})
    for kind, body in {
        "multipart/form-data": b"--x\r\n",
        "multipart/form-data; boundary=x": b"",
        'multipart/form-data; boundary="x"': b"nothing of the kind",
        "multipart/form-data;boundary=x": b"--x\r\n\r\n1\r\n--x--\r\n",
        "multipart/form-data; boundary=" + "x" * 300: b"--x\r\n",
        "Multipart/Form-Data; Boundary=x": b'--x\r\nContent-Disposition: form-data; name="name"'
        b"\r\n\r\n12\r\n--x--\r\n",
    }.items():
        compare(both, "POST", path, content=body, headers={"content-type": kind})


@pytest.mark.parametrize(
    "charset", ["hex", "zip", "rot13", "undefined", "idna", "punycode", "nope", "a%00b", "utf-16"]
)
def test_whatever_a_client_calls_a_charset_is_its_own_fault(serve: Serve, charset: str) -> None:
    """Python's codecs are for other things than text, too."""
    app = fluvial.App()

    @app.post("/")
    async def names(request: fluvial.Request) -> list[str]:
        return list(await request.form())

    kind = f"multipart/form-data; boundary=b; charset={charset.replace('%00', chr(1))}"
    body = b'--b\r\nContent-Disposition: form-data; name="\xc3\xa9"\r\n\r\nx\r\n--b--\r\n'
    answer = serve(app).client.post("/", content=body, headers={"content-type": kind})
    assert answer.status_code in (200, 400)
