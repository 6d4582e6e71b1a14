"""Writes a client in TypeScript: interfaces, and a class that sends by fetch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .api import (
    Alias,
    Api,
    Array,
    Enum,
    Field,
    Map,
    Model,
    Operation,
    Parameter,
    Plain,
    Ref,
    Response,
    Tuple,
    Type,
    Union,
    Values,
)
from .errors import Errors, is_error
from .names import Names, camel_case, for_comments, pascal_case, snake_case

_RUNTIME = Path(__file__).with_name("runtime.ts")
_PLAIN = {"any": "unknown", "binary": "Blob", "boolean": "boolean", "null": "null"}
_NUMBERS = {"integer", "number"}
# Names that the client itself uses, of TypeScript, of the platform and of its own.
_GLOBALS = frozenset(
    {
        *("any", "bigint", "boolean", "never", "null", "number", "object", "string", "symbol"),
        *("undefined", "unknown", "void", "Array", "ArrayBuffer", "Blob", "BodyInit", "Error"),
        *("File", "FormData", "Headers", "JSON", "Math", "Object", "Promise", "RangeError"),
        *("Readonly", "Record", "Request", "RequestInit", "Response", "String", "TextEncoder"),
        *("URLSearchParams", "ApiError", "Credentials", "Options"),
    }
)
# Of a class, and of Base_.
_MEMBERS = frozenset({"constructor", "baseUrl", "credentials", "prototype"})

_Keys = dict[tuple[str, str], str]  # the expression for each input, by its place and name


def write_typescript(api: Api, name: str) -> str:
    """The text of a module."""
    return "\n".join(_Writer(api, name).lines()) + "\n"


def _comment(text: str, indent: str = "") -> list[str]:
    """The lines of a comment."""
    text = for_comments(text).replace("*/", "* /")
    if not text:
        return []
    lines = [line.rstrip() for line in text.split("\n")]
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def _key(name: str) -> str:
    """A property's name, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else json.dumps(name)


class _Writer:
    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._name = name
        names = Names({*_GLOBALS, name})
        self._names = names.add_all(api.types, pascal_case)
        self._errors = Errors(api.operations, names)
        schemes = Names()
        self._schemes = {each.key: schemes.add(snake_case(each.key)) for each in api.schemes}

    def lines(self) -> Iterator[str]:
        title = f"Client of {self._api.title} {self._api.version}, by `fluvial client`."
        yield from _comment(title)
        yield from ("// Written anew each time: don't change it by hand.", "")
        yield _RUNTIME.read_text().strip()
        for key, declared in self._api.types.items():
            yield from ("", *self._declare(self._names[key], declared))
        yield from self._write_errors()
        yield from self._write_credentials()
        yield from ("", *_comment(f"{self._api.title}, by fetch."))
        yield f"export class {self._name} extends Base_ {{"
        names = Names(_MEMBERS)
        for operation in self._api.operations:
            yield from self._write_method(operation, names.add(camel_case(operation.name), "{}"))
        yield "}"

    def _write(self, of: Type) -> str:
        """A type."""
        match of:
            case Plain(kind):
                return _PLAIN.get(kind) or ("number" if kind in _NUMBERS else "string")
            case Values(values):
                return " | ".join(map(json.dumps, values))
            case Ref(key):
                return self._names[key]
            case Array(item):
                found = self._write(item)
                return f"({found})[]" if " | " in found else f"{found}[]"
            case Tuple(items):
                return f"[{', '.join(map(self._write, items))}]"
            case Map(value):
                return f"Record<string, {self._write(value)}>"
            case Union(members):
                return " | ".join(dict.fromkeys(map(self._write, members)))

    def _declare(self, name: str, declared: Model | Enum | Alias) -> Iterator[str]:
        yield from _comment(declared.doc)
        if isinstance(declared, Alias):
            yield f"export type {name} = {self._write(declared.type)};"
        elif isinstance(declared, Enum):
            yield f"export type {name} = {' | '.join(map(json.dumps, declared.values))};"
        else:
            yield f"export interface {name} {{"
            yield from self._write_fields(declared.fields, "  ")
            if declared.extra is not None:
                yield "  [key: string]: unknown;"
            yield "}"

    def _write_fields(self, fields: Iterable[Field], indent: str) -> Iterator[str]:
        for field in fields:
            constant = isinstance(field.type, Values) and len(field.type.values) == 1
            mark = "" if field.required or constant else "?"
            found = self._write(field.type)
            found += " | undefined" if mark and found != "unknown" else ""
            yield from _comment(field.doc, indent)
            yield f"{indent}{_key(field.name)}{mark}: {found};"

    def _write_errors(self) -> Iterator[str]:
        for error in self._errors.all():
            yield from ("", *_comment(f"{error.status}: {error.phrase}."))
            yield f"export class {error.name} extends ApiError {{"
            yield f"  declare readonly content: {self._write_results(error.responses)};"
            yield "}"

    def _write_results(self, responses: Iterable[Response]) -> str:
        kinds = {"text": "string", "bytes": "ArrayBuffer", "empty": "undefined"}
        kinds["stream"] = "Response"
        found = dict.fromkeys(kinds.get(each.kind) or self._write(each.type) for each in responses)
        return "unknown" if "unknown" in found else " | ".join(found) or "unknown"

    def _write_credentials(self) -> Iterator[str]:
        yield from ("", *_comment("Who you are: the token, the key, or [user name, password]."))
        yield "export interface Credentials {"
        for scheme in self._api.schemes:
            kind = "readonly [string, string]" if scheme.kind == "basic" else "string"
            yield f"  {self._schemes[scheme.key]}?: {kind} | undefined;"
        known = {self._schemes[each.key]: [each.kind, each.name] for each in self._api.schemes}
        yield from ("}", "")
        kinds = "Readonly<Record<string, readonly [kind: string, name: string]>>"
        yield f"const SCHEMES_: {kinds} = {json.dumps(known)};"

    def _write_method(self, operation: Operation, name: str) -> Iterator[str]:
        keys, lines = self._arguments(operation)
        results = [each for each in operation.responses if not is_error(each, operation)]
        result = self._write_results(results)
        errors = [error.name for error, _ in self._errors.of(operation)]
        doc = operation.doc.strip() or f"{operation.method} {operation.path}"
        doc += f"\n\n@throws {{{' | '.join([*errors, 'ApiError'])}}}"
        doc += "\n@deprecated" if operation.deprecated else ""
        optional = not any(each.required for each in operation.inputs)
        yield from ("", *_comment(doc, "  "))
        yield f"  async {name}("
        if lines:
            yield from ("    args: {", *lines, f"    }}{' = {}' if optional else ''},")
        yield f"    init?: RequestInit,\n  ): Promise<{result}> {{"
        yield "    const call: Call_ = {"
        for part in self._parts(operation, keys, results):
            yield f"      {part},"
        yield f"    }};\n    return (await this.send_(call, init)) as {result};\n  }}"

    def _arguments(self, operation: Operation) -> tuple[_Keys, list[str]]:
        """How each input is found in `args`, and what `args` is."""
        names, keys, lines = Names(), {}, []
        for each in operation.inputs:
            key = names.add(each.name, f"_{each.place}")
            keys[each.place, each.name] = _member(key)
            lines += _comment(each.doc, "      ")
            found, mark = self._write(each.type), "" if each.required else "?"
            if each.place == "body" and operation.body and not operation.body.is_json:
                found = "BodyInit"
            if mark and found != "unknown":
                no_null = "null" in found or each.place == "body"
                found += " | undefined" if no_null else " | null | undefined"
            lines.append(f"      {_key(key)}{mark}: {found};")
        return keys, lines

    def _parts(self, operation: Operation, keys: _Keys, results: list[Response]) -> Iterator[str]:
        """The properties of `Call_`."""
        yield f"method: {json.dumps(operation.method)}"
        yield f"path: {self._write_path(operation, keys)}"
        for place, name in (("query", "query"), ("header", "headers"), ("cookie", "cookies")):
            found = [each for each in operation.parameters if each.place == place]
            pairs = (_pair(each, keys[place, each.name]) for each in found)
            if found:
                yield f"{name}: [{', '.join(pairs)}]"
        yield from self._write_body(operation, keys)
        if operation.security:
            sets = [[self._schemes[key] for key in each] for each in operation.security]
            yield f"security: {json.dumps(sets)}"
        success = (f"{json.dumps(each.status)}: {_kind(each)}" for each in results)
        yield f"success: {{ {', '.join(success)} }}"
        errors = [
            f"{json.dumps(response.status)}: [{error.name}, {_kind(response)}]"
            for error, response in self._errors.of(operation)
        ]
        if errors:
            yield f"errors: {{ {', '.join(errors)} }}"

    def _write_path(self, operation: Operation, keys: _Keys) -> str:
        found = {name: key for (place, name), key in keys.items() if place == "path"}
        pieces = re.split(r"\{([^}]*)\}", operation.path)
        written = (found[piece] if i % 2 else json.dumps(piece) for i, piece in enumerate(pieces))
        return f"[{', '.join(written)}]"

    def _write_body(self, operation: Operation, keys: _Keys) -> Iterator[str]:
        body = operation.body
        if body is None:
            return
        yield f"mediaType: {json.dumps(body.media_type)}"
        fields = [each for each in operation.inputs if each.place == "field"]
        if body.fields is None:
            whole = keys["body", "body"]
            yield f"json: {whole}" if body.is_json else f"body: {whole}"
        elif body.is_form:
            pairs = (_pair(each, keys[each.place, each.name]) for each in fields)
            yield f"form: [{', '.join(pairs)}]"
        else:
            values = (
                f"{json.dumps(each.name)}: {_sent(each, keys[each.place, each.name])}"
                for each in fields
            )
            yield f"json: {{ {', '.join(values)} }}"


def _member(key: str) -> str:
    return f"args[{json.dumps(key)}]" if _key(key) != key else f"args.{key}"


def _sent(field: Parameter, value: str) -> str:
    """The field's value; null is left out where the field isn't required, as in Python."""
    return value if field.required else f"{value} ?? undefined"


def _pair(each: Parameter, value: str) -> str:
    if each.json:
        written = f"JSON.stringify({value})"
        value = written if each.required else f"{value} == null ? null : {written}"
    return f"[{json.dumps(each.name)}, {value}]"


def _kind(response: Response) -> str:
    is_any = response.kind == "json" and response.type == Plain("any")
    return json.dumps("any" if is_any else response.kind)
