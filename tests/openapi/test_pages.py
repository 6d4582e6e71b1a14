"""The pages that show the document: their files, and what a browser makes of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import pytest
from fluvial import App, Depends
from fluvial.openapi import _assets, docs
from fluvial.security import OAuth2PasswordBearer
from pydantic import BaseModel
from support import browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve
    from support.browser import Page


class Item(BaseModel):
    name: str
    size: int = 1


oauth = OAuth2PasswordBearer("token")


def shop() -> App:
    app = App(title="Shop & Co", description="Sells *things*", scalar_url="/scalar")

    @app.get("/items", tags=["items"])
    async def list_items(limit: int = 3) -> list[Item]:
        return [Item(name=f"item-{number}") for number in range(limit)]

    @app.post("/items", tags=["items"], status_code=201)
    def create_item(item: Item) -> Item:
        """Creates one."""
        return Item(name=item.name + "!", size=item.size)

    @app.get("/me")
    async def me(token: Annotated[str, Depends(oauth)]) -> str:
        return token

    return app


# ---- Files ----------------------------------------------------------------------------------


def links(text: str) -> list[str]:
    """The URLs that a page loads."""
    return re.findall(r'(?:src|href|spec-url)="([^"]+)"', text)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/scalar"])
def test_pages_load_only_what_the_app_serves(serve: Serve, path: str) -> None:
    client = serve(shop()).client
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Shop &amp; Co - " in page.text
    found = links(page.text)
    assert len(found) >= 2
    for link in found:
        file = client.get(link)
        assert file.status_code == 200, link
        if link.startswith("/-/docs/"):
            assert "immutable" in file.headers["cache-control"]
    assert "/openapi.json" in page.text


def test_behind_a_proxy_that_removes_a_prefix(serve: Serve) -> None:
    client = serve(App(root_path="/api", scalar_url="/scalar")).client
    for path in ("/docs", "/redoc", "/scalar"):
        text = client.get(path).text
        assert "/api/openapi.json" in text
        assert all(link.startswith("/api/") for link in links(text))
    assert "window.location.origin + '/api/docs/oauth2-redirect'" in client.get("/docs").text


def test_nothing_but_the_packages_files_is_served(serve: Serve) -> None:
    client = serve(App()).client
    folder = _assets.asset("redoc", "redoc.standalone.js")
    assert folder is not None
    package = folder.parent.name
    for path in (f"{package}/none.js", f"{package}/..", "../utils.py", "..%2f/utils.py", "a/b"):
        for spelt in (path, path.replace("..", "%2e%2e")):
            assert client.get(f"/-/docs/{spelt}").status_code == 404
    assert client.get(f"/-/docs/{package}/LICENSE").status_code == 200


def test_options_of_swagger_ui(serve: Serve) -> None:
    app = App(
        swagger_ui_parameters={"deepLinking": False, "syntaxHighlight": {"theme": "</script>"}},
        swagger_ui_init_oauth={"clientId": "me"},
        swagger_ui_oauth2_redirect_url="/back",
    )
    client = serve(app).client
    text = client.get("/docs").text
    assert '"deepLinking": false,' in text
    assert '"theme": "\\u003c/script\\u003e"' in text
    assert 'ui.initOAuth({"clientId": "me"})' in text
    assert "oauth2RedirectUrl: window.location.origin + '/back'" in text
    assert "window.opener.swaggerUIRedirectOauth2" in client.get("/back").text
    assert client.get("/docs/oauth2-redirect").status_code == 404


def test_other_files_may_be_named() -> None:
    page = docs.get_swagger_ui_html(
        openapi_url="/o.json",
        title="T",
        swagger_js_url="/ui.js",
        swagger_css_url="/ui.css",
        swagger_favicon_url="/i.png",
    )
    assert {"/ui.js", "/ui.css", "/i.png"} == set(links(bytes(page.body).decode()))
    page = docs.get_redoc_html(openapi_url="/o.json", title="T", redoc_js_url="/redoc.js")
    assert "/redoc.js" in links(bytes(page.body).decode())
    page = docs.get_scalar_html(openapi_url="/o.json", title="T", scalar_js_url="/scalar.js")
    assert "/scalar.js" in links(bytes(page.body).decode())


def test_a_build_without_the_files_says_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_assets, "FOLDER", tmp_path / "none")
    client = serve(shop()).client
    for path, name in {"/docs": "Swagger UI", "/redoc": "ReDoc", "/scalar": "Scalar"}.items():
        page = client.get(path)
        assert page.status_code == 503
        assert f"{name} can't be shown: this build of Fluvial" in page.text
        assert 'href="/openapi.json"' in page.text
    assert client.get("/-/docs/redoc@1/redoc.standalone.js").status_code == 404


# ---- In a browser ---------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A tab of a real browser."""
    if not browser.is_there():
        pytest.skip("no browser here (Debian's package: chromium)")
    with browser.browsing(tmp_path) as found:
        yield found


def hosts(page: Page) -> set[str | None]:
    """The machines that were asked for something; URLs that hold their own content have none."""
    return {urlsplit(url).hostname for url in page.requests if url.startswith(("http", "ws"))}


def test_swagger_ui_lists_operations_and_tries_them(serve: Serve, page: Page) -> None:
    page.open(f"{serve(shop()).url}/docs")
    operations = page.wait_for(
        "(found => found.length == 3 && found)("
        "[...document.querySelectorAll('.opblock')].map(each => each.innerText))"
    )
    assert sorted(" ".join(each.split()[:2]) for each in operations) == [
        "GET /items",
        "GET /me",
        "POST /items",
    ]
    # GET /items, with its default
    page.click(".opblock-get .opblock-summary-control")
    page.click(".opblock-get .try-out__btn")
    page.click(".opblock-get .execute")
    answer = ".opblock-get .live-responses-table .response"
    assert "200" in page.wait_for(f"document.querySelector('{answer}').innerText")
    assert "item-2" in page.evaluate(f"document.querySelector('{answer}').innerText")
    # POST /items, with the body that is made from the schema
    page.click(".opblock-post .opblock-summary-control")
    page.click(".opblock-post .try-out__btn")
    page.click(".opblock-post .execute")
    answer = ".opblock-post .live-responses-table .response"
    assert "201" in page.wait_for(f"document.querySelector('{answer}').innerText")
    assert "string!" in page.evaluate(f"document.querySelector('{answer}').innerText")
    # the scheme
    page.click(".btn.authorize")
    assert "OAuth2PasswordBearer" in page.wait_for(
        "document.querySelector('.auth-container').innerText"
    )
    assert hosts(page) == {"127.0.0.1"}


def test_redoc_shows_the_document(serve: Serve, page: Page) -> None:
    page.open(f"{serve(shop()).url}/redoc")
    text = "document.querySelector('.api-content').innerText"
    assert page.wait_for(f"{text}.includes('Create Item')")
    assert "Sells things" in page.evaluate(text)
    assert hosts(page) == {"127.0.0.1"}


def test_scalar_shows_the_document(serve: Serve, page: Page) -> None:
    page.open(f"{serve(shop()).url}/scalar")
    assert page.wait_for("document.body.innerText.includes('Create Item')")
    assert "Shop & Co" in page.evaluate("document.body.innerText")
    assert hosts(page) == {"127.0.0.1"}
