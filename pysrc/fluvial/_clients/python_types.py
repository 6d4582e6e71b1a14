"""Types in Python: annotations, and the classes and aliases that they name."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from .api import (
    ANY,
    Alias,
    Api,
    Array,
    Enum,
    Field,
    Map,
    Model,
    Plain,
    Ref,
    Response,
    Tuple,
    Type,
    Union,
    Values,
)
from .names import Names, for_comments, pascal_case, snake_case, upper_case

_PLAIN = {
    "any": "_t.Any",
    "null": "None",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "binary": "File",
    "date-time": "_datetime.datetime",
    "date": "_datetime.date",
    "time": "_datetime.time",
    "duration": "_datetime.timedelta",
    "uuid": "_uuid.UUID",
}
BUILTINS = {"bool", "bytes", "dict", "float", "int", "list", "str", "tuple"}
_MODELS_OWN = {*dir(BaseModel), *keyword.kwlist, *BUILTINS}


def docstring(text: str, indent: str = "    ") -> list[str]:
    """The lines of a docstring."""
    text = for_comments(text).replace("\\", "\\\\").replace('"""', "'''")
    if not text:
        return []
    closing = ' """' if text.endswith('"') else '"""'
    lines = f'"""{text}'.split("\n")
    lines = [*lines, '"""'] if len(lines) > 1 else [lines[0] + closing]
    return textwrap.indent("\n".join(line.rstrip() for line in lines), indent).split("\n")


class TypeWriter:
    """The names of a document's types, and how types are written with them."""

    def __init__(self, api: Api, names: Names) -> None:
        self._api = api
        self._names = names.add_all(api.types, pascal_case)
        self._reserved = {*_MODELS_OWN, *self._names.values()}
        self._adapters: dict[str, str] = {}

    def write(self, of: Type) -> str:
        """An annotation."""
        match of:
            case Plain(kind):
                return _PLAIN[kind]
            case Values(values):
                return f"_t.Literal[{', '.join(map(repr, values))}]"
            case Ref(key):
                return self._names[key]
            case Array(item):
                return f"list[{self.write(item)}]"
            case Tuple(items):
                return f"tuple[{', '.join(map(self.write, items))}]"
            case Map(value):
                return f"dict[str, {self.write(value)}]"
            case Union(members, tag):
                found = " | ".join(map(self.write, members))
                if not tag:
                    return found
                tagged = f"_pydantic.Field(discriminator={self.field_name(tag)!r})"
                return f"_t.Annotated[{found}, {tagged}]"

    def write_optional(self, of: Type) -> str:
        """The annotation of what may be None, too."""
        found = self.write(of)
        is_null = found.endswith("None") or (isinstance(of, Union) and Plain("null") in of.members)
        return found if is_null or of == ANY else f"{found} | None"

    def write_results(self, responses: Iterable[Response]) -> str:
        """What an operation returns, or an exception holds, in these responses."""
        kinds = {"json": None, "text": "str", "bytes": "bytes", "empty": "None"}
        found = dict.fromkeys(kinds[each.kind] or self.write(each.type) for each in responses)
        return "_t.Any" if "_t.Any" in found else " | ".join(found) or "_t.Any"

    def adapter(self, of: Type) -> str:
        """The name of the `_Type` that reads and writes a type."""
        return self._adapters.setdefault(self.write(of), f"_type_{len(self._adapters) + 1}")

    def adapters(self) -> Iterator[str]:
        """Those that were asked for."""
        for annotation, name in self._adapters.items():
            yield f"{name} = _Type(lambda: {annotation})"

    def field_name(self, name: str) -> str:
        """The attribute for a property: the same name where Python and pydantic allow it."""
        found = name if name.isidentifier() and not name.startswith("_") else snake_case(name)
        return f"{found}_" if found in self._reserved else found

    def declarations(self) -> Iterator[str]:
        """All classes, then the aliases, which may need them at once."""
        for key, declared in self._api.types.items():
            if isinstance(declared, Model):
                yield from ("", "", *self._declare_model(self._names[key], declared))
            elif isinstance(declared, Enum):
                yield from ("", "", *self._declare_enum(self._names[key], declared))
        for key, declared in self._api.types.items():
            if isinstance(declared, Alias):
                name, of = self._names[key], self.write(declared.type)
                yield from ("", "", f'{name} = _typing_extensions.TypeAliasType("{name}", {of!r})')
                yield from docstring(declared.doc, "")

    def _declare_enum(self, name: str, declared: Enum) -> Iterator[str]:
        base = "str, _enum.Enum" if isinstance(declared.values[0], str) else "_enum.IntEnum"
        yield f"class {name}({base}):"
        yield from docstring(declared.doc or "One of these values.")
        yield ""
        names = Names()
        for value in declared.values:
            yield f"    {names.add(upper_case(str(value)))} = {value!r}"

    def _declare_model(self, name: str, declared: Model) -> Iterator[str]:
        yield f"class {name}(_Model):"
        body = docstring(declared.doc)
        if declared.extra is not None:
            body.append('    model_config = _pydantic.ConfigDict(extra="allow")')
        names, constant = Names(), []
        for field in declared.fields:
            attribute = names.add(self.field_name(field.name))
            body.append(f"    {attribute}: {self._write_field(field, attribute)}")
            body += docstring(field.doc)
            if is_constant(field):
                constant.append(attribute)
        if constant:
            body.append(f"    _constant = {tuple(constant)!r}")
        yield from body or ["    pass"]

    def _write_field(self, field: Field, attribute: str) -> str:
        """An annotation, with the default and the property's name where these are needed."""
        found, default = self.write(field.type), ""
        if is_constant(field):
            assert isinstance(field.type, Values)
            default = repr(field.type.values[0])
        elif not field.required:
            default = repr(field.default)
            found = found if field.default is not None else self.write_optional(field.type)
        if attribute == field.name:
            return f"{found} = {default}" if default else found
        aliases = f"validation_alias={field.name!r}, serialization_alias={field.name!r}"
        first = f"default={default}, " if default else ""
        return f"{found} = _pydantic.Field({first}{aliases})"


def is_constant(field: Field) -> bool:
    """Whether the property has one value only, which is therefore always sent."""
    return isinstance(field.type, Values) and len(field.type.values) == 1


def argument_name(name: str) -> str:
    """A parameter's name as an argument's."""
    is_fine = re.fullmatch(r"[^\W_]\w*", name) and name.isidentifier()
    found = name if is_fine else snake_case(name)
    return f"{found}_" if keyword.iskeyword(found) else found
