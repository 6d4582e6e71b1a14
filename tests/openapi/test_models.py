"""`fluvial.openapi.models`: parts of a document as objects."""

from __future__ import annotations

from typing import Any

import pytest
from fluvial import App, Depends
from fluvial.openapi import models
from fluvial.security import OAuth2


def test_flows_as_models_and_as_dicts() -> None:
    flow = {"tokenUrl": "token", "scopes": {"a": "A"}}

    def schemes(flows: Any) -> Any:
        app = App()
        app.get("/", dependencies=[Depends(OAuth2(flows=flows))])(lambda: None)
        return app.openapi()["components"]["securitySchemes"]

    password = models.OAuthFlowPassword(tokenUrl="token", scopes={"a": "A"})
    expected = {"OAuth2": {"type": "oauth2", "flows": {"password": flow}}}
    assert schemes(models.OAuthFlows(password=password)) == expected
    assert schemes({"password": flow}) == expected


def test_other_fields_are_kept() -> None:
    info = models.Info(title="a", version="1", contact={"name": "b"}, **{"x-own": 1})
    dumped = info.model_dump(exclude_none=True)
    assert dumped == {"title": "a", "version": "1", "contact": {"name": "b"}, "x-own": 1}
    key = models.APIKey(in_="header", name="k")
    assert key.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        "type": "apiKey",
        "in": "header",
        "name": "k",
    }


@pytest.mark.parametrize("name", models.__all__)
def test_fastapi_has_the_names(name: str) -> None:
    theirs = pytest.importorskip("fastapi.openapi.models")
    assert hasattr(theirs, name)
