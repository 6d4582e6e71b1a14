"""ariadne: its ASGI app, mounted, and called by a route."""

from ariadne import QueryType, make_executable_schema
from ariadne.asgi import GraphQL
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

query = QueryType()


@query.field("hello")
def resolve_hello(*_: object, name: str) -> str:
    return f"Hello, {name}"


schema = make_executable_schema("type Query { hello(name: String!): String! }", query)
graphql = GraphQL(schema)
app = FastAPI()
app.mount("/mounted", graphql)


@app.post("/called")
async def called(request: Request) -> Response:
    return await graphql.handle_request(request)


with TestClient(app) as client:
    for path in ("/mounted/", "/called"):
        response = client.post(path, json={"query": '{ hello(name: "you") }'})
        assert response.json() == {"data": {"hello": "Hello, you"}}, response.text
    assert client.get("/mounted/").status_code == 200
