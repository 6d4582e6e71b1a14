"""What the app in Django has to do by either of its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from .postgres import Postgres


def environment_with(postgres: Postgres) -> dict[str, str]:
    """Variables for the app's process, whose database begins empty."""
    return {"DATABASE_URL": postgres.url(), "DJANGO_SETUP": "migrate"}


def check_the_orm(client: httpx.Client) -> None:
    for name in ("bob", "ann"):
        assert client.post("/users", data={"name": name}).status_code == 200
    assert client.get("/users").json() == ["ann", "bob"]
    assert client.get("/async-users").json() == ["ann", "bob"]


def check_requests(client: httpx.Client, kind: str, root_path: str = "") -> None:
    found = client.get("/where/caf%C3%A9?a=1&b=%20").json()
    assert found["path"] == f"{root_path}/where/café"
    assert found["query"] == {"a": "1", "b": " "}
    assert found["address"] == "127.0.0.1"
    assert found["url"] == f"{client.base_url}{root_path}/where/caf%C3%A9?a=1&b=%20"
    assert found["kind"] == kind
    assert client.get("/nowhere").status_code == 404
    assert client.get("/big").text == "compress me " * 1000


def check_bodies(client: httpx.Client, stream: str) -> None:
    content = b"x" * 5_000_000
    answer = client.post("/upload", files={"file": ("f", content)}, data={"note": "hi"})
    assert answer.json() == {"size": len(content), "note": "hi"}
    numbers = "".join(f"{n}," for n in range(100))
    assert client.get(stream, headers={"accept-encoding": "identity"}).text == numbers
