"""App.frontend: as FastAPI's."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App
from support.both import serve_both, tell

PAGE = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
ACCEPTED = [{}, PAGE, {"accept": "application/json"}, {"accept": "text/html;q=0"}]


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<p>app</p>")
    (dist / "404.html").write_text("<p>missing</p>")
    (dist / "assets" / "app.js").write_text("run()")
    return dist


def make(names: SimpleNamespace, dist: Path, fallback: str | None, path: str) -> Any:
    app = names.App()
    app.get("/api/items")(lambda: ["item"])
    app.frontend(path, directory=dist, fallback=fallback)
    return app


@pytest.mark.parametrize("path", ["/", "/ui"])
@pytest.mark.parametrize("missing", ["", "404.html", "index.html"])
@pytest.mark.parametrize("fallback", ["auto", "index.html", "404.html", None])
def test_the_answers_are_those_of_fastapi(serve, dist, fallback, missing, path) -> None:
    if missing == fallback:
        return  # refused, see below
    if missing:
        (dist / missing).unlink()
    clients = serve_both(serve, lambda names: make(names, dist, fallback, path))
    for below in ("", "assets/app.js", "users/3", "assets/x.js"):
        for headers in ACCEPTED:
            target = f"{path.rstrip('/')}/{below}"
            answers = [tell(each.get(target, headers=headers)) for each in clients]
            assert answers[0] == answers[1], (target, headers)
    for method, target in (("POST", "assets/app.js"), ("POST", "users/3")):
        statuses = [
            each.request(method, f"{path.rstrip('/')}/{target}").status_code for each in clients
        ]
        assert statuses[0] == statuses[1]
    assert clients[0].get("/api/items").json() == ["item"]


def test_what_is_missing_is_told_at_once(dist, monkeypatch) -> None:
    app = App()
    with pytest.raises(ValueError, match="fallback is one of"):
        app.frontend("/", directory=dist, fallback="other.html")
    (dist / "404.html").unlink()
    with pytest.raises(RuntimeError, match=r"'404\.html' does not exist"):
        app.frontend("/", directory=dist, fallback="404.html")
    shutil.rmtree(dist)
    with pytest.raises(RuntimeError, match="does not exist"):
        app.frontend("/", directory=dist)
    app.frontend("/unchecked", directory=dist, check_dir=False)
    monkeypatch.setenv("FASTAPI_ENV", "development")
    with pytest.warns(UserWarning, match="does not exist"):
        app.frontend("/developed", directory=dist)
