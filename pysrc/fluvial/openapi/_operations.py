"""The Operation Object (OpenAPI 3.1 section 4.8.10) of a route and a method."""

from __future__ import annotations

import copy
import http.client
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._messages.framing import WITHOUT_CONTENT
from .._validation.annotations import is_class
from ..encoders import jsonable_encoder
from ..params import MISSING
from ..responses import JSONResponse
from .constants import METHODS_WITH_BODY, REF_PREFIX

if TYPE_CHECKING:
    from ._bodies import Body
    from ._parts import Parameter
    from ._routes import Described
    from ._schemas import Schemas

Json = dict[str, Any]

VALIDATION_ERRORS: dict[str, Json] = {
    "ValidationError": {
        "title": "ValidationError",
        "type": "object",
        "properties": {
            "loc": {
                "title": "Location",
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"title": "Message", "type": "string"},
            "type": {"title": "Error Type", "type": "string"},
            "input": {"title": "Input"},
            "ctx": {"title": "Context", "type": "object"},
        },
        "required": ["loc", "msg", "type"],
    },
    "HTTPValidationError": {
        "title": "HTTPValidationError",
        "type": "object",
        "properties": {
            "detail": {
                "title": "Detail",
                "type": "array",
                "items": {"$ref": REF_PREFIX + "ValidationError"},
            }
        },
    },
}

# The descriptions of status ranges, and of all other statuses.
_RANGES = {
    "1XX": "Information",
    "2XX": "Success",
    "3XX": "Redirection",
    "4XX": "Client Error",
    "5XX": "Server Error",
    "DEFAULT": "Default Response",
}
_EVENT: Json = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}


def make_operation(described: Described, method: str, schemas: Schemas) -> Json:
    """The operation. `schemas` know all parts of `described`."""
    operation = _metadata(described)
    if described.security:
        operation["security"] = _security(described)
    if described.parameters:
        operation["parameters"] = _parameters(described.parameters, schemas)
    if method in METHODS_WITH_BODY and described.body is not None:
        operation["requestBody"] = _request_body(described.body, schemas)
    if described.route.options.get("callbacks"):
        operation["callbacks"] = {
            each.route.name: {each.route.path: make_path_item(each, schemas)}
            for each in described.callbacks
        }
    responses = {_status(described): _response(described, schemas)}
    _add_responses(responses, described, schemas)
    operation["responses"] = responses
    if has_default_422(described):
        reference = {"$ref": REF_PREFIX + "HTTPValidationError"}
        content = {"application/json": {"schema": reference}}
        responses["422"] = {"description": "Validation Error", "content": content}
    merge(operation, copy.deepcopy(described.route.options.get("openapi_extra") or {}))
    return operation


def make_path_item(described: Described, schemas: Schemas) -> Json:
    """The operations of all methods of a route, by their names in lower case."""
    return {
        method.lower(): make_operation(described, method, schemas)
        for method in described.route.given_methods
    }


def _metadata(described: Described) -> Json:
    route, options = described.route, described.route.options
    found: Json = {}
    if options.get("tags"):
        found["tags"] = list(options["tags"] or ())
    found["summary"] = options.get("summary") or route.name.replace("_", " ").title()
    if route.description:
        found["description"] = route.description
    found["operationId"] = described.unique_id
    if options.get("deprecated"):
        found["deprecated"] = options["deprecated"]
    return found


def has_default_422(described: Described) -> bool:
    """Whether the operation can be refused with 422, and the route doesn't describe that itself."""
    given = {str(status).upper() for status in described.route.options.get("responses") or {}}
    given.add(_status(described))
    return described.takes_input and given.isdisjoint({"422", "4XX", "DEFAULT"})


def _security(described: Described) -> list[Json]:
    asked: dict[str, list[str]] = {}
    for scheme, scopes in described.security.items():
        known = asked.setdefault(scheme.scheme_name, [])
        known.extend(scope for scope in scopes if scope not in known)
    return [{name: scopes} for name, scopes in asked.items()]


def _parameters(parameters: list[Parameter], schemas: Schemas) -> list[Json]:
    """One for each name and place; it is required if any field with that name is."""
    found: dict[tuple[str, str], Json] = {}
    required: dict[tuple[str, str], Json] = {}
    for each in parameters:
        made = _parameter(each, schemas)
        found[each.source, each.name] = made
        if each.is_required:
            required[each.source, each.name] = made
    return list((found | required).values())


def _parameter(parameter: Parameter, schemas: Schemas) -> Json:
    info = parameter.part.info
    made: Json = {
        "name": parameter.name,
        "in": parameter.source,
        "required": parameter.is_required,
        "schema": schemas.of(parameter.part),
    }
    if info.description:
        made["description"] = info.description
    _add_examples(made, parameter.marker)
    if info.deprecated:
        made["deprecated"] = True
    return made


def _add_examples(made: Json, marker: Any) -> None:
    examples = getattr(marker, "openapi_examples", None)
    example = getattr(marker, "example", MISSING)
    if examples:
        made["examples"] = jsonable_encoder(examples)
    elif example is not MISSING:
        made["example"] = jsonable_encoder(example)


def _request_body(body: Body, schemas: Schemas) -> Json:
    made: Json = {"required": True} if body.is_required else {}
    content: Json = {"schema": schemas.of(body.part)}
    _add_examples(content, body.marker)
    made["content"] = {body.media_type: content}
    return made


# ---- Responses ------------------------------------------------------------------------------


def _status(described: Described) -> str:
    given = described.route.options.get("status_code")
    if given is not None:
        return str(int(given))
    signature = inspect.signature(described.response_class.__init__)
    parameter = signature.parameters.get("status_code")
    return str(parameter.default if parameter and isinstance(parameter.default, int) else 200)


def _response(described: Described, schemas: Schemas) -> Json:
    options = described.route.options
    made: Json = {"description": options.get("response_description", "Successful Response")}
    status = options.get("status_code")
    if status in WITHOUT_CONTENT:
        return made
    media_type = described.stream or described.response_class.media_type
    if described.stream is not None:
        made["content"] = {media_type: {"itemSchema": _item_schema(described, schemas)}}
    elif media_type:
        schema: Json = {"type": "string"}
        if is_class(described.response_class, JSONResponse):
            schema = {} if described.response is None else schemas.of(described.response)
        made["content"] = {media_type: {"schema": schema}}
    return made


def _item_schema(described: Described, schemas: Schemas) -> Json:
    schema = {} if described.item is None else schemas.of(described.item)
    if described.stream == "application/jsonl":
        return schema
    event = copy.deepcopy(_EVENT)
    if described.item is not None:
        event["required"] = ["data"]
        event["properties"]["data"] = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": schema,
        }
    return event


def _add_responses(responses: dict[str, Json], described: Described, schemas: Schemas) -> None:
    """Adds those that the route's option `responses` describes."""
    for status, given in (described.route.options.get("responses") or {}).items():
        extra = {key: copy.deepcopy(value) for key, value in given.items() if key != "model"}
        key = str(status).upper()
        response = responses.setdefault("default" if key == "DEFAULT" else key, {})
        part = described.responses.get(status)
        if part is not None:
            media_type = described.response_class.media_type or "application/json"
            content = extra.setdefault("content", {}).setdefault(media_type, {})
            merge(content.setdefault("schema", {}), schemas.of(part))
        known = _RANGES.get(key) or http.client.responses.get(int(status))
        description = extra.get("description") or response.get("description") or known
        merge(response, extra)
        response["description"] = description or "Additional Response"


def merge(target: Json, update: Mapping[str, Any]) -> None:
    """Writes `update` into `target`: dicts are merged, lists added, others replaced."""
    for key, value in update.items():
        known = target.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            target[key] = known + value
        else:
            target[key] = value
