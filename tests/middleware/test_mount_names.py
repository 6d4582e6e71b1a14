"""url_path_for and url_for into mounted apps, and templates that use them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App, Request
from fluvial.exceptions import NoMatchFound
from fluvial.staticfiles import StaticFiles
from fluvial.templating import Jinja2Templates
from support.both import serve_both, tell

PAGE = """<a href="{{ url_for('static', path='/a b.css') }}">{{ text }}</a> {{ more }}
<a href="{{ url_for('item', n=3) }}">{{ request.url.path }}</a>"""


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "plain.txt").write_text("{{ text }}")
    return tmp_path


def make(names: SimpleNamespace, pages: Path) -> Any:
    app = names.App()
    app.mount("/static", names.StaticFiles(directory=pages), name="static")
    templates = names.Jinja2Templates(
        directory=pages, context_processors=[lambda request: {"more": request.method}]
    )

    @app.get("/page/{n}", name="item")
    def page(request: names.Request, n: int):
        context = {"text": "<b>"}
        return templates.TemplateResponse(
            request, "page.html", context, status_code=201, headers={"x-a": "b"}
        )

    @app.get("/plain")
    async def plain(request: names.Request):
        return templates.TemplateResponse(
            request=request, name="plain.txt", context={"text": "<b>"}, media_type="text/plain"
        )

    return app


def test_templates_are_those_of_starlette(serve, pages) -> None:
    clients = serve_both(serve, lambda names: make(names, pages))
    host = {"host": "one.example"}
    for path in ("/page/1", "/plain"):
        ours, theirs = (tell(each.get(path, headers=host), "content-length") for each in clients)
        if path == "/page/1":
            assert 'href="http://one.example/static/a%20b.css"' in ours[1]
            ours = (ours[0], ours[1].replace("a%20b", "a b"), ours[2])  # a URL has no spaces
        assert ours == theirs


def test_an_environment_of_ones_own(serve) -> None:
    import jinja2

    env = jinja2.Environment(loader=jinja2.DictLoader({"a": "[[ x ]]"}), variable_start_string="[[")
    env.variable_end_string = "]]"
    templates = Jinja2Templates(env=env)
    app = App()
    app.get("/")(lambda: "")
    assert templates.get_template("a").render(x=1) == "1"
    for options in ({}, {"directory": ".", "env": env}):
        with pytest.raises(TypeError, match="either"):
            Jinja2Templates(**options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the request comes first"):
        templates.TemplateResponse("a", {})  # type: ignore[arg-type]


def test_paths_into_mounted_apps(tmp_path: Path) -> None:
    inner, sub, unnamed = App(), App(), App()
    inner.get("/deep/{x}", name="deep")(lambda x: x)
    sub.get("/item/{n}", name="item")(lambda n: n)
    sub.mount("/inner", inner, name="inner")
    unnamed.get("/free", name="free")(lambda: 1)
    app = App()
    app.mount("/sub", sub, name="sub")
    app.mount("/un", unnamed)
    app.mount("/files", StaticFiles(directory=tmp_path), "files")
    assert app.url_path_for("sub:item", n=3) == "/sub/item/3"
    assert app.url_path_for("sub:inner:deep", x="a b") == "/sub/inner/deep/a%20b"
    assert app.url_path_for("sub", path="/anything") == "/sub/anything"
    assert app.url_path_for("free") == "/un/free"
    assert app.url_path_for("files", path="css/a.css") == "/files/css/a.css"
    assert app.url_path_for("files", path="//evil.example/a?b#c") == (
        "/files/evil.example/a%3Fb%23c"
    )
    for name, values in (
        ("item", {"n": 3}),
        ("sub:item", {}),
        ("sub:nothing", {}),
        ("files", {"name": "a"}),
        ("subitem", {"n": 3}),
    ):
        with pytest.raises(NoMatchFound):
            app.url_path_for(name, **values)


def test_a_mounted_app_knows_where_it_is(serve) -> None:
    sub = App()
    sub.get("/item/{n}", name="item")(_url)
    app = App()
    app.mount("/sub", sub, name="sub")
    app.get("/outer", name="outer")(_outer)
    client = serve(app).client
    host = {"host": "one.example"}
    assert client.get("/sub/item/1", headers=host).json() == "http://one.example/sub/item/2"
    assert client.get("/outer", headers=host).json() == "http://one.example/sub/item/4"


def _url(request: Request, n: int) -> str:
    return str(request.url_for("item", n=n + 1))


def _outer(request: Request) -> str:
    return str(request.url_for("sub:item", n=4))
