"""The cases of bench/frameworks.py that Litestar has, as its users write them."""

# No `from __future__ import annotations`: Litestar would resolve them by name.

from typing import Annotated, Any

import msgspec
from litestar import Litestar, get, post
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.datastructures import UploadFile
from litestar.di import Provide
from litestar.enums import RequestEncodingType
from litestar.middleware import ASGIMiddleware
from litestar.params import Body, Parameter
from pydantic import BaseModel


class Address(BaseModel):
    street: str
    city: str


class Order(BaseModel):
    name: str
    price: float
    tags: list[str] = []
    address: Address | None = None


class AddressStruct(msgspec.Struct):
    street: str
    city: str


class OrderStruct(msgspec.Struct):
    name: str
    price: float
    tags: list[str] = []
    address: AddressStruct | None = None


@get("/items/{item_id:int}")
async def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    return {"item_id": item_id, "q": q}


@post("/model", status_code=200)
async def echo_model(data: Order) -> Order:
    return data


@post("/struct", status_code=200)
async def echo_struct(data: OrderStruct) -> OrderStruct:
    return data


async def get_page(page: int = 1) -> int:
    return page


async def get_agent(
    user_agent: Annotated[str | None, Parameter(header="user-agent")] = None,
) -> str | None:
    return user_agent


async def get_both(page_found: int, agent_found: str | None) -> dict[str, Any]:
    return {"page": page_found, "agent": agent_found}


@get(
    "/async-dependencies",
    dependencies={
        "page_found": Provide(get_page),
        "agent_found": Provide(get_agent),
        "found": Provide(get_both),
    },
)
async def three_async(found: dict[str, Any]) -> dict[str, Any]:
    return found


def take_page(page: int = 1) -> int:
    return page


def take_agent(
    user_agent: Annotated[str | None, Parameter(header="user-agent")] = None,
) -> str | None:
    return user_agent


def take_both(page_found: int, agent_found: str | None) -> dict[str, Any]:
    return {"page": page_found, "agent": agent_found}


@get(
    "/def-dependencies",
    sync_to_thread=True,
    dependencies={
        "page_found": Provide(take_page, sync_to_thread=True),
        "agent_found": Provide(take_agent, sync_to_thread=True),
        "found": Provide(take_both, sync_to_thread=True),
    },
)
def three_def(found: dict[str, Any]) -> dict[str, Any]:
    return found


@post("/file", status_code=200)
async def take_file(
    data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> int:
    return data["file"].file.seek(0, 2)


class Stamp(ASGIMiddleware):
    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", b"1")]
            await send(message)

        await next_app(scope, receive, stamped)


@get("/plain")
async def plain() -> dict[str, str]:
    return {"type": "plain"}


app = Litestar([read_item, echo_model, echo_struct, three_async, three_def, take_file])
with_middleware = Litestar([plain], middleware=[Stamp()])
with_cors = Litestar(
    [plain],
    cors_config=CORSConfig(allow_origins=["https://shop.example"]),
    compression_config=CompressionConfig(backend="gzip"),
)
