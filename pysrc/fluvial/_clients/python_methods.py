"""Operations in Python: the methods of the two clients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .api import BINARY, Array, Operation, Parameter, Plain, Response, Type, Union
from .errors import Errors, is_error
from .names import Names
from .python_types import TypeWriter, argument_name, docstring


@dataclass(frozen=True, slots=True)
class _Argument:
    """An argument of a method: its name, its annotation, and what it is."""

    name: str
    annotation: str
    of: Parameter

    @property
    def text(self) -> str:
        return f"{self.name}: {self.annotation}" + ("" if self.of.required else " = None")


class MethodWriter:
    """Writes methods. `schemes`: the credentials' names, by the keys of the security schemes."""

    def __init__(self, types: TypeWriter, errors: Errors, schemes: Mapping[str, str]) -> None:
        self._types = types
        self._errors = errors
        self._schemes = schemes

    def write(self, operation: Operation, name: str, is_async: bool) -> Iterator[str]:
        """The lines of one method."""
        arguments = list(self._arguments(operation))
        results = [each for each in operation.responses if not is_error(each, operation)]
        result = "_t.Any" if operation.streams else self._types.write_results(results)
        returns, before, send = result, "async " if is_async else "", "return self._send(call)"
        if operation.streams:
            kind = "AbstractAsyncContextManager" if is_async else "AbstractContextManager"
            returns, before = f"_contextlib.{kind}[_httpx.Response]", ""
            send = "return self._stream(call)"
        elif is_async:
            send = "return await self._send(call)"
        if operation.deprecated:
            yield f"    @_typing_extensions.deprecated({f'{name} is deprecated'!r})"
        listed = _listed(arguments)
        yield f"    {before}def {name}({', '.join(['self', *listed])}) -> {returns}:"
        yield from docstring(self._describe(operation), "        ")
        yield f"        call: _Call[{result}] = _Call("
        for part in self._parts(operation, arguments):
            yield f"            {part},"
        yield from ("        )", f"        {send}")

    def _arguments(self, operation: Operation) -> Iterator[_Argument]:
        names = Names({"self", "call"})
        for each in operation.inputs:
            name = names.add(argument_name(each.name), f"_{each.place}")
            if each.place == "body" and operation.body and not operation.body.is_json:
                yield _Argument(name, "bytes" if each.required else "bytes | None", each)
                continue
            write = self._types.write if each.required else self._types.write_optional
            yield _Argument(name, write(each.type), each)

    def _describe(self, operation: Operation) -> str:
        errors = [error.name for error, _ in self._errors.of(operation)]
        raises = f"Raises: {', '.join([*errors, 'ApiError'])}."
        return f"{operation.doc.strip() or f'{operation.method} {operation.path}'}\n\n{raises}"

    def _parts(self, operation: Operation, arguments: list[_Argument]) -> Iterator[str]:
        """The arguments of `_Call`."""
        yield repr(operation.method)
        yield self._write_path(operation.path, arguments)
        for place, keyword in (("query", "query"), ("header", "headers"), ("cookie", "cookies")):
            pairs = [self._write_pair(each) for each in arguments if each.of.place == place]
            if pairs:
                yield f"{keyword}=({', '.join(pairs)},)"
        if operation.body is not None:
            yield f"media_type={operation.body.media_type!r}"
            yield self._write_body(operation, arguments)
        if operation.security:
            sets = [tuple(self._schemes[key] for key in each) for each in operation.security]
            yield f"security={tuple(sets)!r}"
        results = [each for each in operation.responses if not is_error(each, operation)]
        success = (f"{each.status!r}: {self._reader(each)}" for each in results)
        yield f"success={{{', '.join(success)}}}"
        errors = [
            f"{response.status!r}: ({error.name}, {self._reader(response)})"
            for error, response in self._errors.of(operation)
        ]
        if errors:
            yield f"errors={{{', '.join(errors)}}}"

    def _write_path(self, path: str, arguments: list[_Argument]) -> str:
        names = {each.of.name: each.name for each in arguments if each.of.place == "path"}
        pieces = re.split(r"\{([^}]*)\}", path)
        written = [
            f"_segment({names[piece]})" if i % 2 else repr(piece)
            for i, piece in enumerate(pieces)
            if piece
        ]
        return " + ".join(written)

    def _write_pair(self, argument: _Argument) -> str:
        value = argument.name
        if argument.of.json:
            value = f"{self._types.adapter(argument.of.type)}.write({value}).decode()"
            value = (
                value
                if argument.of.required
                else f"{value} if {argument.name} is not None else None"
            )
        elif _is_file(argument.of.type):
            value = f"_uploads({value})"
        return f"({argument.of.name!r}, {value})"

    def _write_body(self, operation: Operation, arguments: list[_Argument]) -> str:
        body = operation.body
        assert body is not None
        if body.fields is None:
            (argument,) = (each for each in arguments if each.of.place == "body")
            if not body.is_json:
                return f"content={argument.name}"
            written = f"{self._types.adapter(body.type)}.write({argument.name})"
            absent = "" if body.required else f"None if {argument.name} is None else "
            return f"content={absent}{written}"
        fields = [each for each in arguments if each.of.place == "field"]
        if body.is_form:
            return f"form=({''.join(f'{self._write_pair(each)}, ' for each in fields)})"
        triples = (
            f"({each.of.name!r}, {self._types.adapter(each.of.type)}, "
            f"{each.name}, {each.of.required})"
            for each in fields
        )
        return f"content=_object({', '.join(triples)})"

    def _reader(self, response: Response) -> str:
        if response.kind == "json":
            is_any = response.type == Plain("any")
            return "'any'" if is_any else self._types.adapter(response.type)
        return repr(response.kind) if response.kind in {"text", "bytes"} else "None"


def _listed(arguments: list[_Argument]) -> list[str]:
    """The arguments as they are declared: path and body by position, the others by name."""
    first = [each for each in arguments if each.of.place in {"path", "body"} and each.of.required]
    rest = [each for each in arguments if each not in first]
    rest.sort(key=lambda each: not each.of.required)
    return [each.text for each in first] + (["*"] if rest else []) + [each.text for each in rest]


def _is_file(of: Type) -> bool:
    if isinstance(of, Union):
        return any(map(_is_file, of.members))
    return of == BINARY or (isinstance(of, Array) and _is_file(of.item))
