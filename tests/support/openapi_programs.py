"""One large program in FastAPI's grammar, made of the names of either framework.

No `from __future__ import annotations`: annotations name locals.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, computed_field
from typing_extensions import TypedDict  # pydantic asks for it before 3.12

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Kind(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Tag(BaseModel):
    """A tag.

    With a description.
    \f
    Not for readers.
    """

    name: str = Field(examples=["new"], max_length=20)
    weight: float | None = Field(None, gt=0, description="how much it counts")


class Item(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Foo", "price": 1.5}]})

    name: str
    price: Decimal = Decimal(3)
    tags: list[Tag] = []
    colour: Colour = Colour.RED
    kind: Kind | None = None
    made: datetime | None = Field(None, alias="madeAt")
    data: bytes = b""


class Priced(Item):
    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def total(self) -> float:
        """What it costs in all."""
        return float(self.price)


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: "Person | None" = None


class Person(BaseModel):
    name: str
    pets: list["Cat | Dog"] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Label(TypedDict, total=False):
    text: str
    size: int


class Filters(BaseModel):
    limit: int = Field(10, gt=0, le=100, description="how many")
    order_by: Literal["name", "price"] = "name"
    tags: list[str] = []


class Fields(BaseModel):
    save_data: bool
    if_modified: str | None = None
    x_tags: list[str] = []


def parameters(of: SimpleNamespace, app: Any) -> None:
    Query, Path, Header, Cookie = of.Query, of.Path, of.Header, of.Cookie

    @app.get("/plain/{a}/{b:path}", tags=["one", "two"])
    async def plain(a: int, b: str, c: float, d: bool = False, e: str | None = None) -> Any: ...

    @app.get("/limits/{ident}", summary="All limits", deprecated=True)
    def limits(
        ident: Annotated[UUID, Path(title="The ident", description="of the thing")],
        q: Annotated[str, Query(min_length=2, max_length=9, pattern="^a")] = "ab",
        many: Annotated[list[int], Query(alias="item-ids", deprecated=True)] = [],  # noqa: B006
        hidden: Annotated[str | None, Query(include_in_schema=False)] = None,
        number: Annotated[float, Query(gt=1, le=5, multiple_of=0.5, examples=[2.5])] = 2,
        choice: Literal["a", "b"] = "a",
        colour: Colour = Colour.BLUE,
        told: str = Query(
            "x",
            openapi_examples={
                "one": {"summary": "One", "value": "1"},
                "two": {"description": "Two", "value": None},
            },
        ),
        extra: str = Query("y", json_schema_extra={"x-more": [1]}),
    ) -> dict[str, Any]:
        """Has limits.

        Of *all* kinds.
        \f
        Not shown.
        """

    @app.get("/fields")
    def fields(
        user_agent: Annotated[str | None, Header()] = None,
        x_token: Annotated[list[str] | None, Header(description="tokens")] = None,
        under_score: Annotated[str, Header(convert_underscores=False)] = "",
        session: Annotated[str | None, Cookie(title="Session")] = None,
        merged: Annotated[int, Field(description="of the annotation", ge=1), Query()] = 1,
    ) -> None: ...

    @app.get("/models")
    def models(
        filters: Annotated[Filters, Query()], sent: Annotated[Fields, Header()]
    ) -> list[Item]: ...


def bodies(of: SimpleNamespace, app: Any) -> None:
    Body = of.Body

    @app.post("/items", status_code=201, response_description="It is there")
    def create(item: Item) -> Item: ...

    @app.put("/items/{name}", response_model=Priced)
    def replace(name: str, item: Annotated[Item, Body(embed=True)], old: bool = False) -> Any: ...

    @app.patch("/items/{name}", response_model=Page[Priced] | None)
    def change(name: str, item: Item, tag: Tag, importance: Annotated[int, Body(gt=0)]) -> Any: ...

    @app.post("/items", deprecated=True)  # only the first answers, but both are described as one
    def second(number: Annotated[int, Body()]) -> int: ...

    @app.post("/pets")
    def pets(pet: Annotated[Cat | Dog, Field(discriminator="kind")]) -> list[Cat | Dog]: ...

    @app.post("/others")
    def others(point: Point, label: Label, numbers: set[int]) -> tuple[Point, Label]: ...

    @app.post("/optional")
    def optional(item: Item | None = None) -> dict[str, Person]: ...

    @app.post("/optional/several")
    def several(a: Annotated[int | None, Body()] = None, b: Tag | None = None) -> None: ...

    @app.post("/examples")
    def examples(
        item: Annotated[
            Item,
            Body(
                media_type="application/vnd.item+json",
                description="An item",
                openapi_examples={"plain": {"summary": "Plain", "value": {"name": "a"}}},
            ),
        ],
    ) -> Any: ...

    @app.delete("/items/{name}", status_code=204)
    def remove(name: str) -> None: ...

    @app.get("/raw", openapi_extra={"requestBody": {"content": {"text/plain": {}}}, "x-a": 1})
    def raw() -> str: ...


class Login(BaseModel):
    username: str
    password: str = Field(min_length=8, alias="pass")


def forms(of: SimpleNamespace, app: Any) -> None:
    Form, File = of.Form, of.File

    @app.post("/form")
    def form(a: Annotated[str, Form()], b: Annotated[list[int], Form(gt=0)] = []) -> None: ...  # noqa: B006

    @app.post("/file")
    def file(content: Annotated[bytes, File(description="One")], other: of.UploadFile) -> None: ...

    @app.post("/one")
    def one(upload: of.UploadFile | None = None) -> None: ...

    @app.post("/many", openapi_extra={"x-b": 2})
    def many(uploads: list[of.UploadFile], token: Annotated[str, Form(max_length=9)]) -> None: ...

    @app.post("/login")
    def login(data: Annotated[Login, Form()]) -> None: ...

    @app.post("/maybe")
    def maybe(data: Annotated[Login | None, Form()] = None) -> None: ...

    @app.post("/both")
    def both(data: Annotated[Login, Form()], again: Annotated[bool, Form()]) -> None: ...


def responses(of: SimpleNamespace, app: Any) -> None:
    @app.get(
        "/answers",
        responses={
            404: {"model": Tag, "description": "Nothing there"},
            "5XX": {"model": Point},
            "default": {"description": "Something else"},
            200: {"content": {"image/png": {}}},
        },
        response_model=Item,
    )
    def answers(q: str = "") -> Any: ...

    @app.get("/own422", responses={422: {"description": "Ours", "model": Tag}})
    def own422(q: int) -> None: ...

    @app.get("/html", response_class=of.HTMLResponse)
    def page() -> str: ...

    @app.get("/elsewhere", response_class=of.RedirectResponse)
    def elsewhere() -> str: ...

    @app.get("/response")
    def response() -> of.Response: ...

    @app.get("/none", response_model=None)
    def none() -> Item: ...

    @app.get("/teapot", status_code=418, name="named", operation_id="its-own-id")
    def teapot() -> Page[Item]: ...


def security(of: SimpleNamespace, app: Any) -> None:
    oauth = of.OAuth2PasswordBearer(tokenUrl="token", scopes={"me": "Read", "items": "Items"})
    basic = of.HTTPBasic(description="Name and password")
    key = of.APIKeyHeader(name="X-Key", scheme_name="TheKey")

    async def user(scopes: of.SecurityScopes, token: Annotated[str, of.Depends(oauth)]) -> str: ...

    def active(who: Annotated[str, of.Security(user, scopes=["me"])]) -> Iterator[str]:
        yield who

    @app.get("/me")
    def me(who: Annotated[str, of.Security(active, scopes=["items"])]) -> str: ...

    @app.get("/status", dependencies=[of.Depends(basic), of.Depends(key)])
    def status(who: Annotated[str, of.Depends(user)], q: Annotated[int, of.Query()]) -> str: ...

    def common(skip: int = 0, limit: Annotated[int, of.Query(le=9)] = 5) -> None: ...
    def body_of_dependency(tag: Tag, skip: int) -> None: ...

    @app.post("/depends", dependencies=[of.Depends(common)])
    def depends(first: Annotated[Any, of.Depends(body_of_dependency)], item: Item) -> None: ...


def routers(of: SimpleNamespace, app: Any) -> None:
    calls = of.APIRouter()

    @calls.post("{$callback_url}/invoices/{$request.body.id}", response_model=Tag)
    def invoice(body: Person) -> Any: ...

    inner = of.APIRouter(prefix="/inner", tags=["inner"], responses={403: {"description": "No"}})
    outer = of.APIRouter(
        prefix="/outer", generate_unique_id_function=lambda route: f"outer-{route.name}"
    )

    @inner.get("/x", callbacks=calls.routes)
    def x(z: int) -> Tag: ...

    @inner.get("/hidden", include_in_schema=False)
    def hidden() -> Tag: ...

    @outer.get("/y", tags=["y"])
    def y() -> Tag: ...

    outer.include_router(inner, deprecated=True, tags=["included"])
    app.include_router(outer, prefix="/v1", responses={410: {"description": "Gone"}})
    app.include_router(inner, prefix="/v2", default_response_class=of.PlainTextResponse)

    @app.webhooks.post("new-thing", description="Sent when there is one")
    def new_thing(body: Item, q: int = 0) -> None: ...


def make_app(of: SimpleNamespace, **options: Any) -> Any:
    """The program as an app of the framework whose names `of` has."""
    app = of.App(
        title="A program",
        summary="Large",
        description="With *everything*.",
        version="2.5",
        terms_of_service="http://example.org/terms",
        contact={"name": "We", "url": "http://example.org", "email": "we@example.org"},
        license_info={"name": "MIT", "url": "HTTPS://example.org/mit"},
        openapi_tags=[
            {"name": "one", "externalDocs": {"description": "x", "url": "http://example.org"}}
        ],
        servers=[{"url": "https://example.org/{v}", "variables": {"v": {"default": "1"}}}],
        openapi_external_docs={"url": "http://example.org/docs"},
        responses={400: {"description": "Wrong"}},
        **options,
    )
    for part in (parameters, bodies, forms, responses, security, routers):
        part(of, app)
    return app
