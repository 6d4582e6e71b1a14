"""An OpenAPI document as an `Api`: its operations, with parameters, bodies, responses, security."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .api import (
    ANY,
    Api,
    Array,
    Body,
    DocumentError,
    Field,
    Model,
    Operation,
    Parameter,
    Plain,
    Ref,
    Response,
    Scheme,
    Type,
    Union,
    Values,
    is_json,
)
from .schemas import SchemaReader

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query", "x-query")
_STREAMS = ("text/event-stream", "application/jsonl", "application/x-ndjson", "multipart/")
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}


def read_document(document: dict[str, Any]) -> Api:
    """What a client needs of the document.

    Raises: DocumentError when it holds what clients can't be made of.
    """
    return _Reader(document).read()


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._components = document.get("components", {})
        self._schemas = SchemaReader(self._components.get("schemas", {}))

    def read(self) -> Api:
        info = self._document.get("info", {})
        schemes = self._components.get("securitySchemes", {})
        found = list(self._operations())
        shorter = _short_names(found)
        operations = tuple(
            self._read_operation(name, path, method, item, operation)
            for name, (path, method, item, operation) in zip(shorter, found, strict=True)
        )
        api = Api(info.get("title", ""), info.get("version", ""), operations=operations)
        api.schemes = tuple(_read_scheme(key, scheme) for key, scheme in schemes.items())
        api.types = dict(sorted(self._schemas.types.items()))
        return api

    def _operations(self) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        for path, item in self._document.get("paths", {}).items():
            if not path.startswith("/"):  # it could name another host
                raise DocumentError(f"path {path!r} doesn't begin with a slash")
            if "$ref" in item:
                raise DocumentError(f"path {path}: '$ref' to another document can't be followed")
            for method in _METHODS:
                if method in item:
                    yield path, method.removeprefix("x-"), item, item[method]

    def _read_operation(
        self, name: str, path: str, method: str, item: dict[str, Any], operation: dict[str, Any]
    ) -> Operation:
        place = f"{method.upper()} {path}"
        listed = [*item.get("parameters", ()), *operation.get("parameters", ())]
        found = [self._read_parameter(self._resolve(each, place), place) for each in listed]
        parameters = {(each.place, each.name): each for each in found}
        _check_path(path, parameters.values(), place)
        body = self._resolve(operation.get("requestBody"), place)
        security = operation.get("security", self._document.get("security", ()))
        return Operation(
            name=name,
            method=method.upper(),
            path=path,
            doc=operation.get("description") or operation.get("summary", ""),
            deprecated=bool(operation.get("deprecated")),
            parameters=tuple(parameters.values()),
            body=self._read_body(body, name, place) if body else None,
            responses=tuple(self._read_responses(operation.get("responses", {}), name, place)),
            security=tuple(self._read_security(each, place) for each in security),
        )

    def _resolve(self, item: Any, place: str) -> Any:
        """The parameter, body or response that a reference names."""
        while isinstance(item, dict) and "$ref" in item:
            reference: str = item["$ref"]
            found: Any = self._document
            for part in reference.removeprefix("#/").split("/"):
                found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
            if not reference.startswith("#/") or not found:
                raise DocumentError(f"{place}: {reference!r} is not in the document")
            item = found
        return item

    def _read_parameter(self, item: dict[str, Any], place: str) -> Parameter:
        name, where = item["name"], item["in"]
        here = f"{place}, {where} parameter {name!r}"
        if where not in _STYLES:
            raise DocumentError(f"{here}: a client knows path, query, header and cookie only")
        if (style := item.get("style", _STYLES[where])) != _STYLES[where]:
            raise DocumentError(f"{here}: the style {style!r} is not supported")
        content = item.get("content")
        if content is not None and set(content) != {"application/json"}:
            raise DocumentError(f"{here}: no content but JSON is supported")
        schema = (
            content["application/json"].get("schema", {}) if content else item.get("schema", {})
        )
        found = self._schemas.read(schema, f"{place} {name}")
        if content is None and not self._is_text(found, where in {"query", "header"}):
            raise DocumentError(
                f"{here}: an object can't be sent there; use a model for its fields"
            )
        required = bool(item.get("required")) or where == "path"
        doc = item.get("description", "")
        return Parameter(name, where, found, required, doc, content is not None)

    def _is_text(self, found: Type, many: bool) -> bool:
        """Whether values of the type have one text, or `many` of them."""
        if isinstance(found, Ref):
            named = self._schemas.types[found.key]
            if isinstance(named, Model):
                return False
            return self._is_text(getattr(named, "type", ANY), many)
        if isinstance(found, Union):
            return all(self._is_text(member, many) for member in found.members)
        if isinstance(found, Array):
            return many and self._is_text(found.item, False)
        return isinstance(found, Plain | Values) or many

    def _read_body(self, item: dict[str, Any], name: str, place: str) -> Body:
        content: dict[str, Any] = item.get("content", {})
        if not content:
            raise DocumentError(f"{place}: its body has no content")
        kinds = [kind for kind in content if is_json(kind)] + list(content)
        media_type = kinds[0]
        schema = content[media_type].get("schema", {})
        body = Body(media_type, ANY, bool(item.get("required")))
        if not body.is_json and not body.is_form:
            return body
        reference = schema.get("$ref", "") if isinstance(schema, dict) else ""
        fields = None
        if body.is_form or reference.startswith("#/components/schemas/Body_"):
            fields = self._read_fields(schema, f"{name} body", body.is_form)
        found = self._schemas.read(schema, f"{name} body") if fields is None else ANY
        return Body(media_type, found, body.required, fields)

    def _read_fields(self, schema: Any, place: str, form: bool) -> tuple[Field, ...] | None:
        if not isinstance(schema, dict) or not ("$ref" in schema or "properties" in schema):
            return ()
        return self._schemas.fields_of(schema, place, form=form)

    def _read_responses(
        self, responses: dict[str, Any], name: str, place: str
    ) -> Iterator[Response]:
        for status, item in responses.items():
            content = self._resolve(item, place).get("content", {})
            status = status.upper() if status != "default" else status
            yield self._read_response(status, content, f"{name} response {status}")

    def _read_response(self, status: str, content: dict[str, Any], place: str) -> Response:
        if not content:
            # FastAPI's documents leave the content out for response classes without a media type.
            return Response(status, "stream" if status == "200" else "empty")
        if any(kind.startswith(_STREAMS) for kind in content) and not status.startswith(("4", "5")):
            return Response(status, "stream")
        for kind, item in content.items():
            if is_json(kind):
                return Response(status, "json", self._schemas.read(item.get("schema", {}), place))
        is_text = all(kind.startswith("text/") for kind in content)
        return Response(status, "text" if is_text else "bytes")

    def _read_security(self, needed: dict[str, Any], place: str) -> tuple[str, ...]:
        known = self._components.get("securitySchemes", {})
        for key in needed:
            if key not in known:
                raise DocumentError(f"{place}: the security scheme {key!r} is not in the document")
        return tuple(needed)


def _read_scheme(key: str, scheme: dict[str, Any]) -> Scheme:
    kind, doc = scheme.get("type"), scheme.get("description", "")
    if kind == "apiKey":
        return Scheme(key, scheme["in"], scheme["name"], doc)
    if kind in {"oauth2", "openIdConnect"}:
        return Scheme(key, "bearer", "Bearer", doc)
    if kind == "http":
        name: str = scheme["scheme"]
        known = name.lower() if name.lower() in {"bearer", "basic"} else "scheme"
        return Scheme(key, known, name.capitalize(), doc)
    raise DocumentError(f"security scheme {key!r}: the type {kind!r} is not supported")


def _check_path(path: str, parameters: Any, place: str) -> None:
    named = set(re.findall(r"\{([^}]*)\}", path))
    listed = {each.name for each in parameters if each.place == "path"}
    if named != listed:
        odd = ", ".join(sorted(named ^ listed))
        raise DocumentError(f"{place}: path and parameters don't name the same: {odd}")


def _short_names(found: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> list[str]:
    """Operation ids, without the path and method that FastAPI's way of making them appends."""
    short: list[str] = []
    full: list[str] = []
    for path, method, _, operation in found:
        identity = operation.get("operationId") or f"{method} {path}"
        tail = re.sub(r"\W", "_", path) + f"_{method}"
        full.append(identity)
        short.append(identity.removesuffix(tail) or identity)
    return [
        name if short.count(name) == 1 else identity
        for name, identity in zip(short, full, strict=True)
    ]
