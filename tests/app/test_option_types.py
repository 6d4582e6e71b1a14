"""Options of routes, routers and apps that can't be meant: refused where they are given."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from fluvial import APIRouter, App
from fluvial.exceptions import RouteWarning

SHARED: list[tuple[str, Any]] = [
    ("tags", "abc"),
    ("tags", [1]),
    ("callbacks", 1),
    ("callbacks", [1]),
    ("responses", [1]),
    ("responses", {"abc": {}}),
    ("responses", {0: {}}),
    ("responses", {404: 5}),
    ("deprecated", "no"),
    ("include_in_schema", "false"),
    ("generate_unique_id_function", 5),
    ("max_body_size", "1k"),
    ("max_body_size", -1),
    ("max_body_size", True),
    ("timeout", "x"),
    ("cancel_on_disconnect", "x"),
    ("form_limits", 5),
    ("strict_content_type", "x"),
    ("dependencies", 5),
]
OWN: list[tuple[str, Any]] = [
    *SHARED,
    *[(name, 5) for name in ("name", "summary", "description", "operation_id")],
    ("openapi_extra", [1]),
    ("response_model_exclude", "password"),
    ("response_model_include", 5),
    ("response_model_exclude_none", "no"),
    ("route_class_override", 5),
    ("inline", "no"),
    ("status_code", "200"),
    ("response_class", 5),
]
APPS: list[tuple[str, Any]] = [
    *[(name, 5) for name in ("title", "version", "summary", "description", "terms_of_service")],
    *[(name, 5) for name in ("openapi_url", "docs_url", "redoc_url", "root_path", "webhooks")],
    *[(name, "x") for name in ("contact", "license_info", "openapi_external_docs", "servers")],
    *[(name, "x") for name in ("swagger_ui_parameters", "openapi_tags", "redirect_slashes")],
    *[(name, 5) for name in ("middleware", "on_startup", "routes")],
    ("openapi_tags", [1]),
    ("exception_handlers", [1]),
]


def handler() -> int:
    return 1


def by_decorator(options: Any) -> None:
    App().get("/", **options)(handler)


def by_add(options: Any) -> None:
    App().add_api_route("/", handler, **options)


def by_router(options: Any) -> None:
    APIRouter().get("/", **options)(handler)


def by_include(options: Any) -> None:
    router = APIRouter()
    router.get("/")(handler)
    App().include_router(router, **options)


@pytest.mark.parametrize("register", [by_decorator, by_add, by_router])
@pytest.mark.parametrize(("name", "value"), OWN)
def test_a_route_s_option_says_its_name(name: str, value: Any, register: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        register({name: value})


@pytest.mark.parametrize(
    "register", [by_include, lambda options: APIRouter(**options), lambda options: App(**options)]
)
@pytest.mark.parametrize(("name", "value"), SHARED)
def test_what_routes_share_says_its_name(name: str, value: Any, register: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        register({name: value})


@pytest.mark.parametrize(("name", "value"), APPS)
def test_an_app_s_option_says_its_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"App\(\): {name} must be"):
        App(**{name: value})


@pytest.mark.parametrize("methods", [5, "GET", [1], []])
def test_methods(methods: Any) -> None:
    with pytest.raises(TypeError, match="methods must be"):
        App().api_route("/", methods=methods)(handler)


@pytest.mark.parametrize("status", [404, "404", "4XX", "4xx", "default"])
def test_statuses_of_responses(status: Any) -> None:
    app = App()
    app.get("/", responses={status: {"description": "Said"}})(handler)
    described = app.openapi()["paths"]["/"]["get"]["responses"]
    assert {"description": "Said"} in [dict(each) for each in described.values()]


def test_a_model_s_name(serve: Any) -> None:
    """It is looked up where the handler is defined, when the app starts if not before."""
    app = App()
    app.get("/one", response_model="Later")(lambda: {"a": 1, "password": "x"})
    app.get("/many", response_model=list["Later"])(lambda: [{"a": 1, "password": "x"}])
    client = serve(app).client
    assert client.get("/one").json() == {"a": 1}
    assert client.get("/many").json() == [{"a": 1}]
    assert "Later" in client.get("/openapi.json").json()["components"]["schemas"]


def test_a_model_s_name_that_does_not_exist() -> None:
    app = App()
    app.get("/", response_model="Missing")(handler)
    with pytest.raises(NameError, match=r"GET / .*'Missing' is not defined"):
        app.plan_routes()


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_fields_picked_of_no_model(option: str) -> None:
    options: Any = {f"response_model_{option}": {"password"}}
    for more in ({}, {"response_model": None}):
        with pytest.warns(RouteWarning, match=f"response_model_{option} has no effect"):
            App().get("/", **options, **more)(lambda: {"password": "x"})
    App().get("/", **options, response_model=dict)(lambda: {"password": "x"})


class Later(pydantic.BaseModel):
    a: int
