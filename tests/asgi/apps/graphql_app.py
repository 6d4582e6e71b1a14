"""GraphQL with subscriptions: Strawberry and Ariadne behind one Starlette app."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import strawberry
from ariadne import QueryType, SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL as AriadneGraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from starlette.applications import Starlette
from starlette.routing import Mount
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    @strawberry.field
    async def hello(self, name: str) -> str:
        return f"hello {name}"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
            await asyncio.sleep(0)


schema = strawberry.Schema(Query, subscription=Subscription)

query, subscription = QueryType(), SubscriptionType()
TYPES = """
type Query { hello(name: String!): String! }
type Subscription { count(to: Int!): Int! }
"""


@query.field("hello")
async def hello(_: Any, info: Any, name: str) -> str:
    return f"hello {name}"


@subscription.source("count")
async def count(_: Any, info: Any, to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number
        await asyncio.sleep(0)


@subscription.field("count")
def number(value: int, info: Any, to: int) -> int:
    return value


app = Starlette(
    routes=[
        Mount("/strawberry", GraphQL(schema)),
        Mount(
            "/ariadne",
            AriadneGraphQL(
                make_executable_schema(TYPES, query, subscription),
                websocket_handler=GraphQLTransportWSHandler(),
            ),
        ),
    ]
)
