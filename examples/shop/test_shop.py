"""The shop's tests, in FastAPI's grammar, too."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from .auth import KEEPER, SECRET, get_user
from .database import engine
from .main import app
from .models import User

PASSWORD = "correct horse"


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of an empty shop."""
    SQLModel.metadata.drop_all(engine)
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()


def login(client: TestClient, email: str, scope: str = "") -> dict[str, str]:
    """Registers and logs in; the header field that says so."""
    client.post("/users", json={"email": email, "password": PASSWORD})
    form = {"username": email, "password": PASSWORD, "scope": scope}
    token = client.post("/token", data=form).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def add_item(client: TestClient, **fields: Any) -> int:
    """Adds an item and returns its number."""
    item = {"name": "Cup", "price": "4.50", "stock": 3} | fields
    return client.post("/items/", json=item, headers=login(client, KEEPER)).json()["id"]


def test_users(client: TestClient) -> None:
    ann = {"email": "ann@example.org", "password": PASSWORD}
    assert client.post("/users", json=ann).json() == {"id": 1, "email": "ann@example.org"}
    assert client.post("/users", json=ann).status_code == 409
    assert client.post("/users", json={"email": "x"}).json()["detail"][0]["loc"] == [
        "body",
        "password",
    ]
    assert client.get("/users/me", headers=login(client, "ann@example.org")).json()["id"] == 1
    wrong = {"username": "ann@example.org", "password": "wrong"}
    assert client.post("/token", data=wrong).status_code == 400
    for token, status in (("", 401), ("Bearer x", 401), ("Basic x", 401)):
        answer = client.get("/users/me", headers={"Authorization": token} if token else {})
        assert answer.status_code == status
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_scopes(client: TestClient) -> None:
    item = {"name": "Cup", "price": "4.50"}
    buyer = login(client, "ann@example.org", scope="orders stock")
    refused = client.post("/items/", json=item, headers=buyer)
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == 'Bearer scope="stock"'
    less = login(client, KEEPER, scope="orders")
    assert client.post("/items/", json=item, headers=less).status_code == 403
    assert client.post("/items/", json=item, headers=login(client, KEEPER)).status_code == 201


def test_items(client: TestClient) -> None:
    cup, plate = add_item(client), add_item(client, name="Plate", price="7.25")
    assert client.get(f"/items/{cup}").json() == {
        "id": cup,
        "name": "Cup",
        "price": "4.50",
        "stock": 3,
    }
    assert [item["id"] for item in client.get("/items/").json()] == [cup, plate]
    assert [item["name"] for item in client.get("/items/?q=lat").json()] == ["Plate"]
    assert [item["name"] for item in client.get("/items/?limit=1&offset=1").json()] == ["Plate"]
    assert client.get("/items/?limit=0").status_code == 422
    assert client.get("/items/99").json() == {"detail": "No such item"}
    keeper = login(client, KEEPER)
    for wrong in ({"price": "-1"}, {"price": "1.234"}, {"name": "x"}, {"stock": -1}):
        bad = {"name": "Cup", "price": "1"} | wrong
        answer = client.post("/items/", json=bad, headers=keeper)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", *wrong]
    gone = client.delete(f"/items/{cup}", headers=keeper)
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get(f"/items/{cup}").status_code == 404


def test_pictures(client: TestClient) -> None:
    cup, data = add_item(client), bytes(range(256)) * 8192  # 2 MiB: it goes to disk
    answer = client.post(
        f"/items/{cup}/picture",
        files={"picture": ("cup.png", data, "image/png")},
        data={"caption": "A cup"},
        headers=login(client, KEEPER),
    )
    assert answer.json() == {
        "name": "cup.png",
        "caption": "A cup",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    missing = client.post(f"/items/{cup}/picture", headers=login(client, KEEPER))
    assert missing.json()["detail"][0]["loc"] == ["body", "picture"]


def test_orders_are_told(client: TestClient) -> None:
    cup, buyer = add_item(client), login(client, "ann@example.org")
    for quantity, status in ((2, 201), (2, 409), (0, 422)):
        body = {"quantity": quantity}
        answer = client.post(f"/items/{cup}/orders", json=body, headers=buyer)
        assert answer.status_code == status
    [order] = client.get("/orders", headers=buyer).json()
    assert (order["quantity"], order["total"], order["item"]["stock"]) == (2, "9.00", 1)
    assert client.get("/orders", headers=login(client, "bob@example.org")).json() == []
    told = client.get("/sales?count=0")
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text == ": listening\n\n"


def test_the_cart_is_in_the_session(client: TestClient) -> None:
    cup, plate = add_item(client), add_item(client, name="Plate")
    assert client.get("/cart").json() == {}
    client.put(f"/cart/{cup}?quantity=2")
    client.put(f"/cart/{plate}")
    assert client.get("/cart").json() == {str(cup): 2, str(plate): 1}
    payload, _, signature = client.cookies["session"].partition(".")
    client.cookies.clear()
    forged = f"{payload}.x{signature[1:]}"
    assert client.get("/cart", headers={"Cookie": f"session={forged}"}).json() == {}


def test_chat(client: TestClient) -> None:
    with (
        client.websocket_connect("/chat/cups?name=ann") as ann,
        client.websocket_connect("/chat/cups?name=bob") as bob,
        client.websocket_connect("/chat/plates?name=eve") as eve,
    ):
        ann.send_text("hello")
        assert ann.receive_json() == bob.receive_json() == {"name": "ann", "text": "hello"}
        eve.send_text("alone")
        assert eve.receive_json()["name"] == "eve"


def test_the_front_page(client: TestClient) -> None:
    assert "Nothing is sold yet." in client.get("/").text
    cup = add_item(client, name="<Cup>")
    page = client.get("/")
    assert f'<a href="/items/{cup}">&lt;Cup&gt;</a> 4.50' in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_browsers_of_the_shop_may_ask(client: TestClient) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "DELETE"}
    allowed = client.options("/items/1", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert client.options("/items/1", headers=asked | {"Origin": "https://evil"}).status_code == 400
    for number in range(30):
        add_item(client, name=f"Cup number {number}")
    answer = client.get("/items/?limit=100", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()) == 30


def test_overrides(client: TestClient) -> None:
    app.dependency_overrides[get_user] = lambda: User(id=7, email="test@example.org")
    assert client.get("/users/me").json() == {"id": 7, "email": "test@example.org"}
    assert client.get("/orders").json() == []


def test_the_document(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/cart",
        "/cart/{item_id}",
        "/items/",
        "/items/{item_id}",
        "/items/{item_id}/orders",
        "/items/{item_id}/picture",
        "/orders",
        "/sales",
        "/token",
        "/users",
        "/users/me",
    }
    assert document["paths"]["/orders"]["get"]["security"] == [{"OAuth2PasswordBearer": ["orders"]}]
    flow = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]
    assert (flow["tokenUrl"], sorted(flow["scopes"])) == ("token", ["orders", "stock"])
    assert "Swagger UI" in client.get("/docs").text
    assert SECRET not in client.get("/openapi.json").text
