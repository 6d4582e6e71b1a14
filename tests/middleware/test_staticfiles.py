"""StaticFiles: what is served, and that nothing outside the directory is."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App, HTTPException, PlainTextResponse, Request
from fluvial.staticfiles import StaticFiles
from support.both import serve_both, tell


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory in a directory with a secret; links lead in and out."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "public-too").mkdir()
    (tmp_path / "public-too" / "secret.txt").write_text("secret")
    public = tmp_path / "public"
    (public / "dir" / "deep").mkdir(parents=True)
    (public / "a.txt").write_text("text of a")
    (public / "page.html").write_text("<p>page</p>")
    (public / "with space ä.txt").write_text("spaced")
    (public / "dir" / "index.html").write_text("<p>index</p>")
    (public / "dir" / "deep" / "b.js").write_text("b()")
    (public / "404.html").write_text("<p>not here</p>")
    (public / "inside.txt").symlink_to(public / "a.txt")
    (public / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (public / "up").symlink_to(tmp_path)
    (public / "loop").symlink_to(public / "loop")
    os.mkfifo(public / "pipe")
    return public


def make(names: SimpleNamespace, options: dict[str, Any]) -> Any:
    app = names.App()
    app.mount("/static", names.StaticFiles(**options), name="static")
    return app


HOSTILE = [
    "/static/../secret.txt",
    "/static/%2e%2e/secret.txt",
    "/static/..%2fsecret.txt",
    "/static/dir/../../secret.txt",
    "/static/dir/%2e%2e/%2e%2e/secret.txt",
    "/static/%252e%252e/secret.txt",
    "/static/..\\secret.txt",
    "/static/%5c..%5csecret.txt",
    "/static//etc/passwd",
    "/static/%2fetc/passwd",
    "/static/../public-too/secret.txt",
    "/static/outside.txt",
    "/static/up/secret.txt",
    "/static/up/public-too/secret.txt",
    "/static/a.txt%00.png",
    "/static/%00",
    "/static/%ff%fe",
    "/static/" + "x" * 300,
    "/static/" + "x/" * 3000,
    "/static/a.txt/b",
    "/static/pipe",
    "/static/loop",
    "/static/loop/x",
]


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_nothing_outside_is_served(serve, files, html, behind) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=files, html=html), name="static")
    if behind:

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Any:
            return await call_next(request)

    served = serve(app, limits={"request_line": 20_000})
    for path in HOSTILE:
        answer = served.exchange(
            b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode()
        )
        assert b"secret" not in answer.partition(b"\r\n\r\n")[2], path
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (path, answer)


@pytest.mark.parametrize("html", [False, True])
def test_the_answers_are_those_of_starlette(serve, files, html) -> None:
    clients = serve_both(serve, lambda names: make(names, {"directory": files, "html": html}))
    asked = ("a.txt", "page.html", "dir/", "dir/deep/b.js", "with%20space%20%C3%A4.txt", "nowhere")
    for name in (*asked, "inside.txt", "dir/deep/", "./a.txt", "dir/../a.txt", "", "a.txt/"):
        answers = [tell(each.get(f"/static/{name}")) for each in clients]
        assert answers[0] == answers[1], name
        if name and not name.endswith("/"):
            answers = [tell(each.head(f"/static/{name}")) for each in clients]
            assert answers[0] == answers[1], name
    for options in ({"range": "bytes=2-3"}, {"if-none-match": '"other"'}, {"if-none-match": "*"}):
        found = [each.get("/static/a.txt", headers=options) for each in clients]
        answers = [tell(each, "accept-ranges") for each in found]
        assert answers[0] == answers[1], options
    for method in ("POST", "DELETE"):
        answers = [tell(each.request(method, "/static/a.txt")) for each in clients]
        assert answers[0] == answers[1], method


def test_a_client_that_has_the_file_gets_304(serve, files) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=files))
    client = serve(app).client
    first = client.get("/static/a.txt")
    etag, date = first.headers["etag"], first.headers["last-modified"]
    for headers in ({"if-none-match": etag}, {"if-modified-since": date}):
        again = client.get("/static/a.txt", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert "content-type" not in again.headers


def test_a_directory_is_redirected_to_and_never_to_another_host(serve, files) -> None:
    (files / "evil.example").mkdir()
    (files / "evil.example" / "index.html").write_text("x")
    app = App()
    app.mount("/static", StaticFiles(directory=files, html=True))
    root = App()
    root.mount("/", StaticFiles(directory=files, html=True))
    answer = serve(app).client.get("/static/dir?a=b")
    assert (answer.status_code, answer.headers["location"]) == (307, "/static/dir/?a=b")
    raw = serve(root).exchange(
        b"GET //evil.example HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert b"\r\nlocation: /evil.example/\r\n" in raw.lower()


def test_links_are_followed_if_that_is_wanted(serve, files) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=files, follow_symlink=True))
    served = serve(app)
    assert served.client.get("/static/outside.txt").text == "secret"
    assert served.client.get("/static/up/secret.txt").text == "secret"
    raw = served.exchange(
        b"GET /static/../secret.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 404")


def test_a_directory_that_is_missing(serve, tmp_path, caplog) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        StaticFiles(directory=tmp_path / "missing")
    app = App()
    app.mount("/static", StaticFiles(directory=tmp_path / "missing", check_dir=False))
    client = serve(app).client
    assert client.get("/static/a").status_code == 500
    assert "does not exist" in caplog.text
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "a").write_text("now")
    assert client.get("/static/a").text == "now"


def test_files_of_packages(serve) -> None:
    app = App()
    app.mount("/p", StaticFiles(packages=[("fluvial", "middleware")]))
    assert "class CORSMiddleware" in serve(app).client.get("/p/cors.py").text
    for packages in (["fluvial"], ["no_such_package"], [("fluvial", "nowhere")]):
        with pytest.raises(RuntimeError, match="could not be found"):
            StaticFiles(packages=packages)


def test_a_subclass_may_give_another_response(serve, files) -> None:
    """As programs do whose pages are made in the browser."""

    class OnePage(StaticFiles):
        async def get_response(self, path: str, scope: Any) -> Any:
            try:
                return await super().get_response(path, scope)
            except HTTPException as exc:
                if exc.status_code != 404:
                    raise
                return await super().get_response("page.html", scope)

    app = App()
    app.mount("/", OnePage(directory=files))
    client = serve(app).client
    assert client.get("/users/3").text == "<p>page</p>"
    assert client.post("/users/3").status_code == 405


def test_the_apps_handlers_answer_what_is_not_there(serve, files) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=files))

    @app.exception_handler(404)
    async def missing(request: Request, exc: Any) -> Any:
        return PlainTextResponse(f"no {request.url.path}", 404)

    assert serve(app).client.get("/static/x").text == "no /static/x"


def test_no_websockets(serve, files) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=files))
    with serve(app).connect() as sock:
        assert isinstance(sock, socket.socket)
        sock.sendall(
            b"GET /static/a.txt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert sock.recv(1000).startswith(b"HTTP/1.1 403")
