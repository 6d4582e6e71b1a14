"""Helpers of Starlette's that programs and packages import by name."""

import asyncio

import pytest
from fluvial._compat.middleware import GZipResponder, build_environ
from fluvial._compat.starlette_utils import create_collapsing_task_group
from fluvial.responses import PlainTextResponse
from support.serving import serving


def test_a_single_exception_leaves_the_group_as_it_is() -> None:
    async def fail(text: str) -> None:
        raise ValueError(text) from KeyError(text)

    async def main(*texts: str) -> None:
        async with create_collapsing_task_group() as group:
            for text in texts:
                group.start_soon(fail, text)

    with pytest.raises(ValueError, match="one") as raised:
        asyncio.run(main("one"))
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(ExceptionGroup) as several:
        asyncio.run(main("one", "two"))
    assert len(several.value.exceptions) == 2


def test_a_responder_compresses_one_app() -> None:
    app = GZipResponder(PlainTextResponse("x" * 4000), 500, exclude_content_types=("image/png",))
    with serving(app) as served:
        answer = served.client.get("/", headers={"accept-encoding": "gzip"})
        assert (answer.headers["content-encoding"], answer.text) == ("gzip", "x" * 4000)


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("", "/a", "/a"),
        ("/app", "/app/a", "/a"),
        ("/app", "/apple", "/apple"),
        ("/app", "/app", ""),
    ],
)
def test_the_environ_of_a_scope(root: str, path: str, below: str) -> None:
    scope = {"type": "http", "method": "POST", "path": path, "root_path": root, "headers": []}
    environ = build_environ(scope, b"body")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (root, below)
    assert environ["wsgi.input"].read() == b"body"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
