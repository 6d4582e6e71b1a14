"""Uses the client of program.py, as a user would; type-checked, and run with the server's URL."""

import asyncio
import datetime
import io
import sys
import uuid

import httpx
import pytest
import whole
from whole import AsyncClient, Client, Colour, Credentials, Level, Message

NOON = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


def parameters(client: Client) -> None:
    ident = uuid.UUID(int=7)
    found = client.read_path("a b?#%2Fä", 1.5, Colour.DARK_BLUE, ident)
    expected = {"text": "a b?#%2Fä", "number": 1.5, "colour": "dark blue", "ident": str(ident)}
    assert found == expected, found
    assert client.read_file_path("one/two ..") == "one/two .."
    for text in ("", ".", ".."):
        with pytest.raises(ValueError, match="can't be sent as a part of a path"):
            client.read_path(text, 1, Colour.RED, ident)
    default = {"many": [], "flag": False, "when": None, "level": 1, "class": "none"}
    assert client.read_query() == {**default, "text": "default"}
    found = client.read_query(
        item_ids=[1, 2], flag=True, when=NOON, level=Level.VALUE_2, class_="a&b=c", text=""
    )
    assert found == {
        "many": [1, 2],
        "flag": True,
        "when": "2026-11-30T12:00:00Z",
        "level": 2,
        "class": "a&b=c",
        "text": "",
    }, found
    assert client.read_fields(x_token=["a", "b"], session="s1") == {
        "x_token": ["a", "b"],
        "session": "s1",
    }
    with pytest.raises(ValueError, match="the cookie 'session' can't have the value"):
        client.read_fields(session="a; admin=1")
    assert client.put_same(1, id_query=2, id_header="3") == [1, 2, "3", "", "none"]
    found_same = client.put_same(
        1, id_query=2, id_header="3", body="4", body_body=Message(message="5")
    )
    assert found_same == [1, 2, "3", "4", "5"]


def bodies(client: Client) -> None:
    tree = whole.TreeInput(
        name="root",
        children=[whole.TreeInput(name="leaf", shape=whole.Circle(radius=1))],
        shape=whole.Square(side=2),
    )
    back = client.echo_tree(tree)
    assert back.children is not None
    assert isinstance(back.children[0].shape, whole.Circle)
    assert isinstance(back.shape, whole.Square)
    assert back.shape.side == 2
    assert [type(each) for each in client.echo_shapes([whole.Circle(radius=1)])] == [whole.Circle]
    odd = whole.Odd(list_=[1], class_="c", x_dashed=4, Colour_=Colour.RED)
    assert client.tell_sent(odd) == {"list": [1], "class": "c", "x-dashed": 4, "Colour": "red"}
    assert client.echo_odd(odd).copy_ is True
    more = whole.Odd.model_validate({"list": [], "class": "", "further": 1})
    assert client.tell_sent(more)["further"] == 1
    assert client.embedded(count=1) == {"count": 1, "message": None, "mixed": "word"}
    found = client.embedded(count=1, message=Message(message="m"), mixed=3)
    assert found == {"count": 1, "message": {"message": "m"}, "mixed": 3}
    assert client.search(["a", "b"]) == 2
    assert client.read_page().items == [whole.Message(message="one")]


def forms(client: Client) -> None:
    profile = client.send_form(name="Ann & Bob", tags=["x", "y"], level=Level.VALUE_2)
    assert (profile.name, profile.tags, profile.level) == ("Ann & Bob", ["x", "y"], Level.VALUE_2)
    found = client.upload(file=b"content")
    assert found == {
        "file": ["upload", "application/octet-stream", "content"],
        "more": [],
        "raw": None,
        "note": "",
    }, found
    found = client.upload(
        file=("a.txt", io.BytesIO(b"text"), "text/x-own"),
        more=[("b.bin", b"1"), ("c.bin", b"2")],
        raw=b"123",
        note="two\r\nlines",
    )
    assert found == {
        "file": ["a.txt", "text/x-own", "text"],
        "more": ["b.bin", "c.bin"],
        "raw": 3,
        "note": "two\r\nlines",
    }, found
    assert client.send_raw(b"\x89PNG") == ["image/png", 4]


def security(client: Client) -> None:
    assert client.who_bearer() is None
    assert client.who_keys() == [None, None]
    client.credentials.oauth2_password_bearer = "t1"
    client.credentials.http_bearer = "t2"
    client.credentials.http_basic = ("ann", "pass:word")
    client.credentials.api_key_header = "h"
    client.credentials.api_key_cookie = "c"
    client.credentials.api_key_query = "q&"
    assert client.who_bearer() == "t1"
    assert client.who_http() == "Bearer t2"
    assert client.who_basic() == ["ann", "pass:word"]
    assert client.who_keys() == ["h", "c"]
    assert client.who_query() == "q&"
    client.credentials = Credentials()


def errors(client: Client) -> None:
    with pytest.raises(whole.NotFoundError) as gone:
        client.fail(404)
    assert gone.value.content.message == "gone"
    assert gone.value.status == 404
    with pytest.raises(whole.ConflictError) as conflict:
        client.fail(409)
    assert conflict.value.content.code == 7
    for status in (418, 503):  # not of the documented type, not documented
        with pytest.raises(whole.ApiError) as other:
            client.fail(status)
        assert type(other.value) is whole.ApiError
        assert other.value.status == status
        assert other.value.content == {"detail": "no such thing"}
    with pytest.raises(whole.ApiError, match="401 Unauthorized"):
        client.who_query()
    with pytest.raises(whole.UnprocessableContentError) as invalid:
        client.fail("x")  # type: ignore[arg-type]
    assert invalid.value.content.detail is not None
    assert invalid.value.content.detail[0].loc == ["path", "status"]


def results(client: Client) -> None:
    assert isinstance(client.maybe_made(made=False), whole.Message)
    assert isinstance(client.maybe_made(made=True), whole.Error)
    assert client.text() == "käse"
    client.nothing()
    assert client.close_2() == "a name that the client has itself"
    assert (client.twins_a_twins_get(), client.twins_b_twins_get()) == ("a", "b")
    with client.download() as response:
        assert b"".join(response.iter_raw()) == b"0" * 1000 + b"1" * 1000 + b"2" * 1000
    with client.events() as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert sum(line.startswith("data:") for line in response.iter_lines()) == 2
    with pytest.raises(whole.ApiError, match="not for you"), client.refused_stream():
        raise AssertionError("it was entered")


async def asynchronous(url: str) -> None:
    async with AsyncClient(url) as client:
        assert (await client.echo_shapes([whole.Circle(radius=1)]))[0].type == "circle"
        assert await client.search(["a"]) == 1
        assert (await client.upload(file=b"content", note="n"))["note"] == "n"
        with pytest.raises(whole.ConflictError) as conflict:
            await client.fail(409)
        assert conflict.value.content.code == 7
        async with client.download() as response:
            assert len(b"".join([piece async for piece in response.aiter_raw()])) == 3000
    own = httpx.AsyncClient(base_url=url, headers={"X-Key": "mine"})
    async with AsyncClient(http=own) as client:
        assert await client.who_keys() == ["mine", None]


def main(url: str) -> None:
    with Client(url) as client:
        for part in (parameters, bodies, forms, security, errors, results):
            part(client)
    asyncio.run(asynchronous(url))


if __name__ == "__main__":
    main(sys.argv[1])
