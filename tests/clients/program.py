"""An app that has everything a client must know how to send; it tells what it got."""

import datetime
import enum
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

from fluvial import (
    App,
    Body,
    Cookie,
    Depends,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Security,
    UploadFile,
)
from fluvial.responses import PlainTextResponse, Response, StreamingResponse
from fluvial.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
    OAuth2PasswordBearer,
)
from fluvial.sse import EventSourceResponse
from pydantic import BaseModel, ConfigDict, Field

app = App(title='The "whole" \\ grammar', version="2.0")
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "dark blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    WORD = "word"
    NUMBER = 3
    NOTHING = None


class Circle(BaseModel):
    type: Literal["circle"] = "circle"
    radius: float


class Square(BaseModel):
    type: Literal["square"]
    side: float


Shape = Annotated[Circle | Square, Field(discriminator="type")]


class Tree(BaseModel):
    """Has a "tree" in it; and a \\ in its description."""

    name: str
    children: list["Tree"] = []
    shape: Shape | None = None
    parent: Union["Tree", None] = None


class Odd(BaseModel):
    """Properties whose names mean something else in Python or in pydantic."""

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    list_: list[int] = Field(alias="list")
    class_: str = Field(alias="class")
    copy_: bool = Field(True, alias="copy")
    dashed: int = Field(0, alias="x-dashed")
    model_fields_: str = Field("", alias="model_fields")
    under: str | None = Field(None, alias="_under")
    own: Colour | None = Field(None, alias="Colour")  # the name of its own type
    date: datetime.date | None = None


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None


class Message(BaseModel):
    message: str


class Error(BaseModel):  # a name that TypeScript has
    code: int


@app.get("/path/{text}/{number}/{colour}/{ident}")
async def read_path(text: str, number: float, colour: Colour, ident: uuid.UUID) -> dict[str, Any]:
    return {"text": text, "number": number, "colour": colour, "ident": ident}


@app.get("/files/{path:path}")
async def read_file_path(path: str) -> str:
    return path


@app.get("/query")
async def read_query(
    many: Annotated[list[int], Query(alias="item-ids")] = [],  # noqa: B006
    flag: bool = False,
    when: datetime.datetime | None = None,
    level: Level = Level.LOW,
    class_: Annotated[str, Query(alias="class")] = "none",
    text: str = "default",
) -> dict[str, Any]:
    return {
        "many": many,
        "flag": flag,
        "when": when,
        "level": level,
        "class": class_,
        "text": text,
    }


@app.get("/fields")
async def read_fields(
    x_token: Annotated[list[str] | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> dict[str, Any]:
    return {"x_token": x_token, "session": session}


@app.put("/same/{id}")
async def put_same(
    id: Annotated[int, Path()],
    other: Annotated[int, Query(alias="id")],
    third: Annotated[str, Header(alias="id")],
    body: Annotated[str, Query()] = "",
    value: Annotated[Message, Body()] = Message(message="none"),  # noqa: B008
) -> list[Any]:
    return [id, other, third, body, value.message]


@app.post("/trees")
async def echo_tree(tree: Tree) -> Tree:
    return tree


@app.post("/shapes")
async def echo_shapes(shapes: list[Shape]) -> list[Shape]:
    return shapes


@app.get("/pages")
async def read_page() -> Page[Message]:
    return Page(items=[Message(message="one")], next=None)


@app.post("/odd")
async def echo_odd(odd: Odd) -> Odd:
    return odd


@app.post("/sent")
async def tell_sent(request: Request, odd: Odd) -> Any:
    return await request.json()


@app.post("/embedded")
async def embedded(
    count: Annotated[int, Body()],
    message: Annotated[Message | None, Body()] = None,
    mixed: Annotated[Mixed, Body()] = Mixed.WORD,
) -> dict[str, Any]:
    return {"count": count, "message": message, "mixed": mixed.value}


@app.query("/search")
async def search(words: Annotated[list[str], Body()]) -> int:
    return len(words)


class Profile(BaseModel):
    name: str
    tags: list[str] = []
    level: Level = Level.LOW


@app.post("/form")
async def send_form(profile: Annotated[Profile, Form()]) -> Profile:
    return profile


@app.post("/upload")
async def upload(
    file: UploadFile,
    more: Annotated[list[UploadFile], File()] = [],  # noqa: B006
    raw: Annotated[bytes | None, File()] = None,
    note: Annotated[str, Form()] = "",
) -> dict[str, Any]:
    return {
        "file": [file.filename, file.content_type, (await file.read()).decode()],
        "more": [each.filename for each in more],
        "raw": None if raw is None else len(raw),
        "note": note,
    }


@app.post("/raw", openapi_extra={"requestBody": {"required": True, "content": {"image/png": {}}}})
async def send_raw(request: Request) -> list[Any]:
    return [request.headers["content-type"], len(await request.body())]


bearer, oauth2 = HTTPBearer(auto_error=False), OAuth2PasswordBearer("token", auto_error=False)
basic = HTTPBasic(auto_error=False)
header, query = APIKeyHeader(name="X-Key", auto_error=False), APIKeyQuery(name="key")
cookie = APIKeyCookie(name="key", auto_error=False)


@app.get("/who/bearer")
async def who_bearer(token: Annotated[str | None, Security(oauth2)]) -> str | None:
    return token


@app.get("/who/http")
async def who_http(found: Annotated[Any, Depends(bearer)]) -> str | None:
    return found and f"{found.scheme} {found.credentials}"


@app.get("/who/basic")
async def who_basic(found: Annotated[HTTPBasicCredentials | None, Depends(basic)]) -> Any:
    return found and [found.username, found.password]


@app.get("/who/keys")
async def who_keys(
    h: Annotated[str | None, Security(header)], c: Annotated[str | None, Security(cookie)]
) -> list[str | None]:
    return [h, c]


@app.get("/who/query", responses={403: {"model": Message}})
async def who_query(q: Annotated[str, Security(query)]) -> str:
    return q


@app.get(
    "/errors/{status}",
    responses={
        404: {"model": Message},
        409: {"model": Error},
        410: {"model": Message},
        418: {"model": Message},
    },
)
async def fail(status: int) -> Message:
    if status == 409:
        return Response('{"code": 7}', 409, media_type="application/json")
    if status == 404:
        return Response('{"message": "gone"}', 404, media_type="application/json")
    if status == 410:
        return Response("{no JSON", 410, media_type="application/json")
    raise HTTPException(status, "no such thing")


@app.get("/made", responses={201: {"model": Error}})
async def maybe_made(made: bool) -> Message:
    if made:
        return Response('{"code": 1}', 201, media_type="application/json")
    return Message(message="there")


@app.delete("/nothing", status_code=204)
async def nothing() -> None: ...


@app.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "käse"


@app.get("/download", response_class=StreamingResponse)
async def download() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number * 1000

    return StreamingResponse(pieces(), media_type="application/octet-stream")


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[Message]:
    yield Message(message="one")
    yield Message(message="two")


@app.get("/secret-stream", response_class=StreamingResponse)
async def refused_stream() -> StreamingResponse:
    raise HTTPException(403, "not for you")


@app.get("/close")
async def close() -> str:
    return "a name that the client has itself"


@app.get("/old", deprecated=True)
async def old() -> str:
    return "old"


@app.get("/a/twins", name="twins")
async def twins_a() -> str:
    return "a"


@app.get("/b/twins", name="twins")
async def twins_b() -> str:
    return "b"
