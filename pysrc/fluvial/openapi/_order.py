"""The order of a document's keys: that of the specification's tables, as in FastAPI's documents.

So that a document that is kept under version control doesn't change as a whole when its program
moves to Fluvial.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_APPLIED = (
    *("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "prefixItems"),
    *("items", "contains", "properties", "patternProperties", "additionalProperties"),
    *("propertyNames", "unevaluatedItems", "unevaluatedProperties"),
)
_BOUNDS = ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")
_PARAMETER = (
    *("description", "required", "deprecated", "style", "explode", "allowReserved", "schema"),
    *("example", "examples", "content"),
)
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# The keys of each kind of object; others come after them.
_ORDER: dict[str, tuple[str, ...]] = {
    "schema": (
        *("$schema", "$vocabulary", "$id", "$anchor", "$dynamicAnchor", "$ref", "$dynamicRef"),
        *("$defs", "$comment", *_APPLIED, "type", "enum", "const", *_BOUNDS, "maxLength"),
        *("minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains"),
        *("minContains", "maxProperties", "minProperties", "required", "dependentRequired"),
        *("format", "contentEncoding", "contentMediaType", "contentSchema", "title"),
        *("description", "default", "deprecated", "readOnly", "writeOnly", "examples"),
        *("discriminator", "xml", "externalDocs", "example"),
    ),
    "discriminator": ("propertyName", "mapping"),
    "item": ("$ref", "summary", "description", *_METHODS, "servers", "parameters"),
    "operation": (
        *("tags", "summary", "description", "externalDocs", "operationId", "parameters"),
        *("requestBody", "responses", "callbacks", "deprecated", "security", "servers"),
    ),
    "parameter": (*_PARAMETER, "name", "in"),
    "header": _PARAMETER,
    "body": ("description", "content", "required"),
    "media": ("schema", "example", "examples", "encoding"),
    "response": ("description", "headers", "content", "links"),
    "server": ("url", "description", "variables"),
    "tag": ("name", "description", "externalDocs"),
    "docs": ("description", "url"),
    "info": (
        *("title", "summary", "description", "termsOfService", "contact", "license", "version"),
    ),
    "contact": ("name", "url", "email"),
    "license": ("name", "identifier", "url"),
    "scheme": (
        *("type", "description", "in", "name", "scheme", "bearerFormat", "flows"),
        "openIdConnectUrl",
    ),
    "flows": ("implicit", "password", "clientCredentials", "authorizationCode"),
    "flow": ("refreshUrl", "scopes", "authorizationUrl", "tokenUrl"),
}
# What is inside: an object, a list of objects (*) or an object of objects (**).
_INSIDE: dict[str, dict[str, str]] = {
    "schema": {
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), "*schema"),
        **dict.fromkeys(("not", "if", "then", "else", "items", "contains"), "schema"),
        **dict.fromkeys(("additionalProperties", "propertyNames", "contentSchema"), "schema"),
        **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), "schema"),
        **dict.fromkeys(("properties", "patternProperties", "$defs"), "**schema"),
        "discriminator": "discriminator",
        "externalDocs": "docs",
    },
    "item": {**dict.fromkeys(_METHODS, "operation"), "parameters": "*parameter"},
    "operation": {
        "parameters": "*parameter",
        "requestBody": "body",
        "responses": "**response",
        "externalDocs": "docs",
    },
    "parameter": {"schema": "schema"},
    "header": {"schema": "schema"},
    "body": {"content": "**media"},
    "media": {"schema": "schema"},
    "response": {"headers": "**header", "content": "**media"},
    "tag": {"externalDocs": "docs"},
    "info": {"contact": "contact", "license": "license"},
    "scheme": {"flows": "flows"},
    "flows": dict.fromkeys(
        ("implicit", "password", "clientCredentials", "authorizationCode"), "flow"
    ),
}


def in_order(document: Json) -> Json:
    """The document with the keys of its objects in their order.

    FastAPI leaves the paths as they are whose operations have parameters.
    """
    made = dict(document)
    for name, kind in (
        *(("info", "info"), ("servers", "*server"), ("webhooks", "**item")),
        *(("tags", "*tag"), ("externalDocs", "docs")),
    ):
        if name in made:
            made[name] = _arranged(made[name], kind)
    made["paths"] = {
        path: item if _has_parameters(item) else _arranged(item, "item")
        for path, item in document["paths"].items()
    }
    if "components" in document:
        kinds = {"schemas": "**schema", "securitySchemes": "**scheme"}
        made["components"] = {
            name: _arranged(value, kinds[name]) for name, value in document["components"].items()
        }
    return made


def _has_parameters(item: Json) -> bool:
    return any(isinstance(each, dict) and "parameters" in each for each in item.values())


def _arranged(value: Any, kind: str) -> Any:
    if kind.startswith("**"):
        if not isinstance(value, dict):
            return value
        return {name: _arranged(each, kind[2:]) for name, each in value.items()}
    if kind.startswith("*"):
        return [_arranged(each, kind[1:]) for each in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    inside = _INSIDE.get(kind, {})
    known = [name for name in _ORDER[kind] if name in value]
    names = [*known, *(name for name in value if name not in _ORDER[kind])]
    made = {
        name: _arranged(value[name], inside[name]) if name in inside else value[name]
        for name in names
    }
    if kind == "schema":
        for name in _BOUNDS:
            if type(made.get(name)) is int:
                made[name] = float(made[name])
    return made
