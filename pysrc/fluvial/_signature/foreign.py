"""Refuses what would have no effect in a signature, and says what to write instead.

Examples are markers and classes of other frameworks, forgotten parentheses and a forgotten Depends.
Ignoring them could disable an authentication or a limit. Checked once, at registration.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from .._validation.annotations import (
    concrete,
    is_model,
    split_annotated,
    strip_alias,
    union_members,
)
from ..params import MISSING, Depends, Marker
from .displays import items_inside

# Packages whose markers and classes may be used by mistake instead of ours.
_FRAMEWORKS = frozenset(
    (
        *("aiohttp", "baize", "blacksheep", "bottle", "cherrypy", "connexion", "dishka", "django"),
        *("emmett", "emmett55", "esmerald", "falcon", "fast_depends", "fastapi", "faststream"),
        *("flask", "injector", "kink", "lihil", "lilya", "litestar", "ninja", "ninja_extra"),
        *("pyramid", "quart", "ravyn", "robyn", "sanic", "starlette", "starlite", "taskiq"),
        *("taskiq_dependencies", "tornado", "webob", "werkzeug", "wireup", "xpresso"),
    )
)
# Classes with these names, or with Depends in their name, are taken for dependency markers,
# whatever package they come from.
_INJECTING = frozenset({"Depends", "Security", "Inject", "Injected", "Provide", "TaskiqDepends"})

_DEPENDS = "fluvial.Depends(function)"
_OTHER_DEPENDS = {"Dependency", "DependencyKwarg", "FromServices"}
_INSTEAD = {
    **dict.fromkeys(_INJECTING | _OTHER_DEPENDS, _DEPENDS),
    "Security": "fluvial.Security(function)",
    "SecurityScopes": "fluvial.security.SecurityScopes",
    **dict.fromkeys(("Query", "FromQuery", "QueryParam", "QueryEx"), "fluvial.Query()"),
    **dict.fromkeys(("Path", "FromRoute", "FromPath", "PathParam"), "fluvial.Path()"),
    **dict.fromkeys(("Header", "FromHeader"), "fluvial.Header()"),
    **dict.fromkeys(("Cookie", "FromCookie"), "fluvial.Cookie()"),
    **dict.fromkeys(("Body", "BodyKwarg", "FromJSON", "FromText", "FromBytes"), "fluvial.Body()"),
    **dict.fromkeys(("Form", "FromForm"), "fluvial.Form()"),
    **dict.fromkeys(("File", "FromFiles"), "fluvial.File()"),
    "UploadFile": "fluvial.UploadFile",
    "FormData": "await request.form(), which is a fluvial.FormData",
    "Param": "fluvial.Query(), Path(), Header() or Cookie()",
    "ParameterKwarg": "fluvial.Query(), Path(), Header() or Cookie()",
    "Parameter": "fluvial.Query(), Path(), Header() or Cookie()",
}
_CONNECTIONS = {
    **dict.fromkeys(("Request", "HttpRequest", "HTTPRequest", "ASGIRequest"), "fluvial.Request"),
    **dict.fromkeys(("WebSocket", "WebSocketResponse", "Websocket"), "fluvial.WebSocket"),
    **dict.fromkeys(("HTTPConnection", "ASGIConnection"), "fluvial.HTTPConnection"),
    **dict.fromkeys(("BackgroundTasks", "BackgroundTask"), "fluvial.BackgroundTasks"),
    **dict.fromkeys(("Response", "HttpResponse", "HTTPResponse"), "fluvial.Response"),
}
# Packages whose objects in Annotated have an effect, because the validators read them.
_UNDERSTOOD = frozenset({"annotated_types", "msgspec", "pydantic", "pydantic_core"})
_HOOKS = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__")
# Bases of users' classes, which say nothing about what an object of such a class is for.
_BASES = frozenset({"BaseModel", "Struct", "_StructMixin"})


def check_metadata(metadata: tuple[Any, ...]) -> None:
    """Refuses objects in `Annotated[T, …]` that are meant to do something, but would not.

    Plain objects (strings, Doc, metadata of other libraries) are harmless and accepted.

    Raises: TypeError for another framework's marker, or something callable that is not called.
    """
    for item in metadata:
        if not isinstance(item, (Marker, Depends)):
            refuse_foreign(item)
            _refuse_callable(item)
            _refuse_inside(item, "Annotated")


def is_marker(item: Any) -> bool:
    """Whether `item` is one of our markers or marker classes."""
    if isinstance(item, type):
        return issubclass(item, (Marker, Depends))
    return isinstance(item, (Marker, Depends))


def check_inner(annotation: Any) -> None:
    """Refuses metadata inside a type, as in `list[Annotated[T, …]]`, that has no effect there.

    Raises: TypeError for markers, and for what `check_metadata` refuses.
    """
    for item in _inner_metadata(annotation):
        if is_marker(item):
            raise TypeError(
                f"{item!r} is inside the type, where it has no effect; "
                "write Annotated[T, …] around the whole type"
            )
        check_metadata((item,))


def check_default(default: Any) -> None:
    """Refuses defaults that are no values: markers, functions, descriptions of a class's fields.

    Raises: TypeError for such a default. The message says what to write instead.
    """
    refuse_foreign(default)
    if isinstance(default, dataclasses.Field) or _is_field_of_a_model(default):
        raise TypeError(
            f"its default is {_full_name(type(default))}, which describes a field of a class; "
            "write Query(…), Header(…), Cookie(…) or Body(…)"
        )
    if inspect.isclass(default) and issubclass(default, Marker):
        raise TypeError(f"its default is the class {default.__name__}; write {default.__name__}()")
    if default is Depends:
        raise TypeError("its default is the class Depends; write Depends(function)")
    if callable(default) and not isinstance(default, Enum):
        name = getattr(default, "__name__", None) or type(default).__name__
        raise TypeError(f"its default is {default!r}; write Depends({name}) to have it called")
    _refuse_inside(default, "its default")


def _refuse_inside(display: Any, where: str) -> None:
    """Refuses markers, and functions that nothing calls, inside a list or another display."""
    for item in items_inside(display):
        if is_marker(item):
            kind = type(display).__name__
            raise TypeError(
                f"{item!r} is in a {kind} in {where}, where it has no effect; write it alone"
            )
        refuse_foreign(item)
        if inspect.isroutine(item) and not isinstance(display, dict):
            raise TypeError(
                f"{item!r} is in {where}, where nothing calls it; write Depends({item.__name__})"
            )


def check_annotation(annotation: Any) -> None:
    """Refuses annotations that are not types.

    Raises: TypeError for a marker, a function or a display such as `[int]`.
    """
    for member in union_members(annotation):
        if is_marker(member):
            name = getattr(member, "__name__", None) or type(member).__name__
            raise TypeError(f"its annotation is {member!r}; write Annotated[T, {name}(…)]")
        if inspect.isroutine(member):
            raise TypeError(
                f"its annotation is {member!r}, which is no type; "
                f"write Annotated[T, Depends({member.__name__})] to have it called"
            )
        _refuse_object(member, "its annotation")


def check_model(model: Any, what: str) -> None:
    """Refuses a `response_model`, and the like, that is no type.

    Raises: TypeError for a marker, a function, an object of a model's class or a display of types.
    """
    for item in (*union_members(model), *split_annotated(model)[1], *_inner_metadata(model)):
        if is_marker(item):
            raise TypeError(
                f"{what} has {item!r}, where nothing calls it; write the type of the result, and "
                "a dependency into dependencies=[Depends(function)]"
            )
        refuse_foreign(item)
        _refuse_inside(item, what)
    for member in union_members(model):
        _refuse_object(member, what)


def _refuse_object(member: Any, what: str) -> None:
    """Refuses an object where a type is expected."""
    if isinstance(member, (str, type)):
        return
    if isinstance(member, (list, tuple, set, dict)):
        raise TypeError(f"{what} is {member!r}, which is no type; write list[…] …")
    refuse_foreign(member)
    if inspect.isroutine(member) or not (member is None or hasattr(member, "__module__")):
        raise TypeError(f"{what} must be a type, not {member!r}")
    if is_model(type(member)):
        kind = type(member).__name__
        raise TypeError(f"{what} is {member!r}, an object; write its class, {kind}")


def check_types(annotation: Any, ours: tuple[type, ...]) -> None:
    """Refuses types that contain a class which can't come out of a request.

    Raises: TypeError for a class of another framework, for one of `ours`, and for a marker on a
    model's field, where it would have no effect.
    """
    for kind in _classes(annotation):
        found = foreign_class(kind)
        if found is not None and _instead(found) is not None:
            _refuse(found)
        if issubclass(kind, ours):
            raise TypeError(
                f"{kind.__name__} is inside another type; write it alone, or HTTPConnection "
                "for a request or a WebSocket"
            )
        for name, field in _fields_of(kind):
            try:
                _check_field(field)
            except TypeError as exc:
                raise TypeError(f"field {name!r} of {kind.__qualname__}: {exc}") from None


def check_dependencies(dependencies: Any, where: str) -> tuple[Depends, ...]:
    """The items of `dependencies=[…]`. Raises: TypeError when one of them isn't a Depends."""
    if isinstance(dependencies, (Depends, str)) or not hasattr(dependencies, "__iter__"):
        raise TypeError(f"{where}: write dependencies=[Depends(function)], not {dependencies!r}")
    items = tuple(dependencies)
    for item in items:
        if isinstance(item, Depends):
            continue
        try:
            refuse_foreign(item)
        except TypeError as exc:
            raise TypeError(f"{where}: dependencies has an item that isn't ours: {exc}") from None
        name = getattr(item, "__name__", "function")
        hint = "Depends(function)" if item is Depends else f"Depends({name})"
        raise TypeError(f"{where}: dependencies has {item!r}; write {hint}")
    return items


def check_callback(func: Callable[..., Any], what: str, names: tuple[str, ...]) -> None:
    """Checks a function that is called with fixed arguments; they are positional and have `names`.

    Raises: TypeError when it needs other arguments, or uses another framework's classes or markers.
    """
    from .._calling.callables import callable_name, signature_of
    from .signature import own_parameters, return_annotation

    if not callable(func):
        raise TypeError(f"{what} must be a function of ({', '.join(names)}), not {func!r}")
    where = f"{what} {callable_name(func)}"
    try:
        signature = signature_of(func)
    except (TypeError, ValueError):  # it has no signature that Python can read
        return
    for parameter in own_parameters(func, strict=False):
        try:
            _check_given(parameter)
        except TypeError as exc:
            given = ", ".join(names)
            raise TypeError(
                f"{where}: parameter {parameter.name!r}: {exc} (it is called with {given} alone)"
            ) from None
    try:
        signature.bind(*names)
    except TypeError as exc:
        raise TypeError(f"{where} must take ({', '.join(names)}): {exc}") from None
    try:
        check_returned(return_annotation(func))
    except NameError:
        return
    except TypeError as exc:
        raise TypeError(f"{where}: {exc}") from None


def check_returned(annotation: Any) -> None:
    """Checks a return annotation. Raises: TypeError when it has another framework's response."""
    for member in union_members(annotation):
        found = foreign_class(concrete(member))
        if found is not None and found.__name__.endswith("Response"):
            raise TypeError(f"it returns {_full_name(found)}; write fluvial.{found.__name__}")
    if annotation is not MISSING:
        check_model(annotation, "its return annotation")


def _check_given(parameter: inspect.Parameter) -> None:
    """Checks a parameter of a function that is called with fixed arguments.

    Raises: TypeError when it has a marker, which nothing would fill in, or a foreign annotation.
    """
    bare, metadata = split_annotated(parameter.annotation)
    check_metadata(metadata)
    check_inner(parameter.annotation)
    if parameter.default is not parameter.empty:
        refuse_foreign(parameter.default)
    for item in (*metadata, parameter.default):
        if is_marker(item):
            raise TypeError(f"nothing would fill in {item!r}; use the request")
    for member in union_members(bare):
        found = foreign_class(concrete(member))
        if found is not None and found.__name__ in _CONNECTIONS:
            _refuse(found)


def foreign_class(kind: Any) -> type | None:
    """The class of another framework that `kind` is or derives from, or None."""
    if not isinstance(kind, type) or is_model(kind) or issubclass(kind, (Enum, BaseException)):
        return None
    return next((cls for cls in kind.__mro__ if _root(cls) in _FRAMEWORKS), None)


def refuse_foreign(item: Any) -> None:
    """Raises: TypeError when `item` is another framework's marker, or a class or function of it."""
    if inspect.isclass(item) or inspect.isroutine(item):
        if _root(item) in _FRAMEWORKS:
            _refuse(item)
        return
    if isinstance(item, (Marker, Depends)):
        return
    for cls in type(item).__mro__:
        if _root(cls) in _FRAMEWORKS or (_is_injecting(cls.__name__) and not _is_understood(item)):
            _refuse(cls)
    if not _is_understood(item):
        _refuse_holder(item)


def _is_injecting(name: str) -> bool:
    return name in _INJECTING or "Depends" in name


def _is_understood(item: Any) -> bool:
    """Whether the validators read `item`, or it is a value of Python's own."""
    if _root(type(item)) == "fluvial" or isinstance(item, Enum):
        return True
    if _root(type(item)) in sys.stdlib_module_names or any(hasattr(item, h) for h in _HOOKS):
        return not hasattr(item, "dependency")
    return any(
        _root(cls) in _UNDERSTOOD and cls.__name__ not in _BASES for cls in type(item).__mro__
    )


def _refuse_holder(item: Any) -> None:
    """Refuses an object that holds a function, as dependency markers of any package do.

    Nothing would call the function, which may be an authentication. A marker whose `dependency` is
    None asks for the class in the annotation, unless it is the field of a model.
    """
    is_model = hasattr(item, "__pydantic_fields__") or hasattr(item, "__struct_fields__")
    for name, value in _attributes(item):
        asks = (value is None and not is_model) or callable(value)
        if _is_function(value) or is_marker(value) or (name == "dependency" and asks):
            what = getattr(value, "__name__", None) or "function"
            raise TypeError(
                f"{_full_name(type(item))} has {name}={value!r}, which nothing calls; "
                f"write fluvial.Depends({what})"
            )


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    """The attributes that the object itself has, those in slots included."""
    with suppress(AttributeError):  # it has only slots
        yield from object.__getattribute__(item, "__dict__").items()
    for cls in type(item).__mro__:
        for name, member in vars(cls).items():
            if inspect.ismemberdescriptor(member):
                with suppress(AttributeError):  # not set
                    yield name, member.__get__(item)


def _refuse(found: Any) -> None:
    instead = _instead(found) or "fluvial's Query(), Path(), Header(), Body() or Depends()"
    raise TypeError(f"{_full_name(found)} means nothing to Fluvial; write {instead}")


def _instead(found: Any) -> str | None:
    """What to write instead of another framework's class or function, found by its name."""
    name = found.__name__
    instead = _CONNECTIONS.get(name) or _INSTEAD.get(name)
    if instead is None:  # JSONResponse …
        instead = next((said for end, said in _CONNECTIONS.items() if name.endswith(end)), None)
    return _DEPENDS if instead is None and "Depends" in name else instead


def _refuse_callable(item: Any) -> None:
    """Refuses functions and classes in Annotated, where nothing calls them.

    A function there is taken for a forgotten Depends(). A class may be a marker without its
    parentheses, which is accepted.
    """
    if not callable(item):
        return
    if inspect.isclass(item):
        if issubclass(item, Marker):  # `Query` means Query()
            return
        if issubclass(item, Depends):
            raise TypeError("Annotated has the class Depends itself; write Depends(function)")
        if is_model(item) or not any(hasattr(item, hook) for hook in _HOOKS):
            raise TypeError(
                f"the class {item.__qualname__} is in Annotated, where it has no effect; "
                f"write {item.__name__}(…) if it describes the value, Depends({item.__name__}) "
                "to have it called"
            )
        return
    if _root(type(item)) in _UNDERSTOOD or any(hasattr(item, hook) for hook in _HOOKS):
        return
    name = getattr(item, "__name__", None) or type(item).__name__
    raise TypeError(f"{item!r} is in Annotated, where nothing calls it; write Depends({name})")


def _inner_metadata(annotation: Any) -> Iterator[Any]:
    """The metadata of every Annotated inside the type; that of the outermost one is left out."""
    pending = list(get_args(split_annotated(annotation)[0]))
    seen: set[int] = set()
    while pending:
        item = strip_alias(pending.pop())
        if id(item) in seen:
            continue
        seen.add(id(item))
        bare, metadata = split_annotated(item)
        yield from metadata
        pending.extend(get_args(bare))


def _classes(annotation: Any) -> Iterator[type]:
    """The classes that a type is made of, including those of models' fields."""
    pending = [annotation]
    seen: dict[int, Any] = {}
    while pending:
        bare = split_annotated(pending.pop())[0]
        if id(bare) in seen:
            continue
        seen[id(bare)] = bare
        kind = get_origin(bare) or bare
        if isinstance(kind, type):
            yield kind
            pending.extend(annotation for _, (annotation, _) in _fields_of(kind))
        pending.extend(get_args(bare))


def _fields_of(kind: type) -> Iterator[tuple[str, tuple[Any, tuple[Any, ...]]]]:
    """Name, annotation, and the metadata and default beside it, for each field of a model."""
    if not is_model(kind):
        return
    pydantic_fields = getattr(kind, "__pydantic_fields__", None)
    if pydantic_fields is not None:
        for name, info in pydantic_fields.items():
            yield name, (info.annotation, (*info.metadata, info.default))
        return
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return
    for name, annotation in hints.items():
        yield name, (annotation, (_default_of(kind, name),))


def _default_of(kind: Any, name: str) -> Any:
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None and name in fields:
        return fields[name].default
    if hasattr(kind, "__struct_fields__"):
        import msgspec

        return next((f.default for f in msgspec.structs.fields(kind) if f.name == name), None)
    return getattr(kind, "_field_defaults", {}).get(name)


def _check_field(field: tuple[Any, tuple[Any, ...]]) -> None:
    annotation, metadata = field
    items = [*metadata, *split_annotated(annotation)[1], *_inner_metadata(annotation)]
    for item in (*items, *items_inside(items)):
        if is_marker(item):
            raise TypeError(
                f"{item!r} is for parameters of functions; describe a field with pydantic.Field "
                "or msgspec.Meta"
            )
        if _instead(item if inspect.isroutine(item) else type(item)) is not None:
            refuse_foreign(item)
        if callable(getattr(item, "dependency", None)) and not inspect.isclass(item):
            _refuse_holder(item)


def _is_field_of_a_model(default: Any) -> bool:
    return any(
        cls.__name__ in ("FieldInfo", "Field") and _root(cls) in _UNDERSTOOD
        for cls in type(default).__mro__
    )


def _root(item: Any) -> str:
    return (getattr(item, "__module__", None) or "").partition(".")[0]


def _full_name(item: Any) -> str:
    return f"{item.__module__}.{item.__name__}"
