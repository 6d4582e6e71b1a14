"""Making the OpenAPI document of routes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from .._application.api_route import APIRoute
from .._application.described import generate_unique_id
from ..encoders import jsonable_encoder
from ._operations import VALIDATION_ERRORS, has_default_422, make_path_item
from ._order import in_order
from ._routes import Described, describe, name_of
from ._schemas import Schemas

__all__ = ["generate_unique_id", "get_openapi"]

Json = dict[str, Any]


def get_openapi(
    *,
    title: str,
    version: str,
    openapi_version: str = "3.1.0",
    summary: str | None = None,
    description: str | None = None,
    routes: Sequence[Any],
    webhooks: Sequence[Any] | None = None,
    tags: list[dict[str, Any]] | None = None,
    servers: list[dict[str, Any]] | None = None,
    terms_of_service: str | None = None,
    contact: dict[str, Any] | None = None,
    license_info: dict[str, Any] | None = None,
    separate_input_output_schemas: bool = True,
    external_docs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The OpenAPI document (OpenAPI 3.1 section 4.8.1) of `routes`, equal to FastAPI's.

    Routes with `include_in_schema=False` and those for WebSockets are left out. An operation for
    the method QUERY is named `query` from 3.2 on, which defines it. A document of 3.1 may only have
    it as an extension, named `x-query`.

    Raises: pydantic's errors for types that have no JSON Schema.
    """
    info = {
        "title": title,
        "version": version,
        "summary": summary or None,
        "description": description or None,
        "termsOfService": terms_of_service or None,
        "contact": _with_url(contact),
        "license": _with_url(license_info),
    }
    shown = [describe(each) for each in _included(routes)]
    hooks = [describe(each) for each in _included(webhooks or ())]
    parts = [part for each in (*shown, *hooks) for part in each.parts()]
    schemas = Schemas(parts, separate=separate_input_output_schemas)
    _warn_of_duplicates([*shown, *hooks])
    query = "query" if openapi_version >= "3.2" else "x-query"
    document = {
        "openapi": openapi_version,
        "info": info,
        "servers": servers or None,
        "paths": _paths(shown, schemas, query),
        "webhooks": _paths(hooks, schemas, query) or None,
        "components": _components([*shown, *hooks], schemas) or None,
        "tags": [_with_docs(tag) for tag in tags or ()] or None,
        "externalDocs": _with_url(external_docs),
    }
    encoded: dict[str, Any] = jsonable_encoder(document, by_alias=True, exclude_none=True)
    return in_order(encoded)


def _included(routes: Iterable[Any]) -> list[APIRoute]:
    return [
        route
        for route in routes
        if isinstance(route, APIRoute) and route.options.get("include_in_schema", True)
    ]


def _paths(shown: list[Described], schemas: Schemas, query: str) -> Json:
    paths: Json = {}
    for each in shown:
        item = make_path_item(each, schemas)
        if "query" in item:
            item[query] = item.pop("query")
        paths.setdefault(each.route.path_format, {}).update(item)
    return paths


def _components(shown: list[Described], schemas: Schemas) -> Json:
    components: Json = {}
    definitions = dict(schemas.components)
    everything = [inner for each in shown for inner in (each, *each.callbacks)]
    if any(has_default_422(each) for each in everything):
        definitions.update(VALIDATION_ERRORS)
    if definitions:
        components["schemas"] = {name: definitions[name] for name in sorted(definitions)}
    schemes = {
        scheme.scheme_name: jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)
        for each in everything
        for scheme in each.security
    }
    if schemes:
        components["securitySchemes"] = schemes
    return components


def _warn_of_duplicates(shown: list[Described]) -> None:
    seen: set[str] = set()
    for each in shown:
        if each.unique_id in seen:
            warnings.warn(
                f"Duplicate Operation ID {each.unique_id}; the second is that of "
                f"{name_of(each)}: give it an operation_id, or another name",
                stacklevel=2,
            )
        seen.add(each.unique_id)


def _with_url(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """A copy whose `url` is normalized: scheme and host in lower case, with a path.

    Raises: pydantic's ValidationError when it isn't a URL.
    """
    if not given or given.get("url") is None:
        return given or None
    from pydantic import AnyUrl

    return {**given, "url": str(AnyUrl(str(given["url"])))}


def _with_docs(tag: dict[str, Any]) -> dict[str, Any]:
    return {**tag, "externalDocs": _with_url(tag.get("externalDocs"))}
