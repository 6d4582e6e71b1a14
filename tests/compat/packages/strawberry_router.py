"""strawberry's router for FastAPI: queries, with what the context has of the request."""

import strawberry
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from strawberry.fastapi import GraphQLRouter
from strawberry.types import Info


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, info: Info, name: str) -> str:
        request: Request = info.context["request"]
        return f"{request.headers['x-greeting']}, {name}"


app = FastAPI()
app.include_router(GraphQLRouter(strawberry.Schema(Query)), prefix="/graphql")

with TestClient(app) as client:
    asked = {"query": '{ hello(name: "Ann") }'}
    answer = client.post("/graphql", json=asked, headers={"x-greeting": "Hello"})
    assert answer.json()["data"] == {"hello": "Hello, Ann"}
    assert "GraphiQL" in client.get("/graphql", headers={"accept": "text/html"}).text
