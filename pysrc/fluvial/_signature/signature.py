"""Reads from a callable's signature where its arguments come from. Done once, at registration.

ADR 17 says what is refused, and why.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import enum
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, ForwardRef, Literal, get_origin

from .._calling.callables import (
    Flavour,
    by_position,
    call_method,
    callable_name,
    flavour,
    signature_of,
    strip_partials,
)
from .._core import Request, WebSocket
from .._validation.annotations import (
    is_class,
    is_model,
    is_plain_scalar,
    is_scalar,
    is_sequence,
    is_union,
    split_annotated,
    strip_optional,
)
from .._validation.copies import Factory, copier, described_default
from .._validation.marked_fields import marker_of
from ..background import BackgroundTasks
from ..params import (
    MISSING,
    Body,
    Depends,
    File,
    Form,
    Header,
    Marker,
    Path,
    Query,
    Security,
    SecurityScopes,
)
from ..requests import HTTPConnection
from ..responses import Response
from .annotated_field import read_annotated_field
from .declared import Field
from .foreign import (
    check_annotation,
    check_default,
    check_inner,
    check_metadata,
    check_types,
    is_marker,
    refuse_foreign,
)
from .form_fields import is_upload

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
HANDLER: Final = Depends()  # the marker of a call that is no dependency
_SPECIALS = (HTTPConnection, Request, WebSocket, Response, BackgroundTasks, SecurityScopes)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NOTHING_FILLS = (
    "nothing fills it in; write each parameter, or, if this is the wrapper that a decorator has "
    "made, give it the function's signature by @functools.wraps(function)"
)


class Special(enum.Enum):
    """Arguments that are not values from the request."""

    REQUEST = enum.auto()
    WEBSOCKET = enum.auto()
    CONNECTION = enum.auto()  # either of the two
    RESPONSE = enum.auto()
    BACKGROUND = enum.auto()
    SCOPES = enum.auto()


@dataclass(slots=True)
class Argument:
    """One parameter of a callable."""

    name: str
    positional: bool
    positional_only: bool
    value: Field | Special | Call


@dataclass(slots=True, eq=False)
class Call:
    """A callable, and where its arguments come from."""

    func: Callable[..., Any]
    flavour: Flavour
    origin: Callable[..., Any]  # `func` as declared, also where another one overrides it
    marker: Depends = HANDLER
    arguments: list[Argument] = field(default_factory=list)
    key: Any = None  # equal for calls whose result may be shared; see settle_scopes

    @property
    def lifetime(self) -> str | None:
        """When it is closed: the scope that is given or implied; None if it ends with its call."""
        yields = self.flavour in (Flavour.SYNC_GENERATOR, Flavour.ASYNC_GENERATOR)
        return self.marker.scope or ("request" if yields else None)


def read_call(
    func: Callable[..., Any],
    path_names: Collection[str],
    overrides: Overrides = MappingProxyType({}),
    *,
    marker: Depends = HANDLER,
) -> Call:
    """Reads the parameters of `func`; those named in `path_names` come from the path.

    `overrides` has other functions in the place of some dependencies.

    Raises: TypeError when a parameter is wrong, with the callable, the parameter and the fix;
    NameError when an annotation uses a name that isn't defined yet.
    """
    if not callable(func):
        raise TypeError(f"a handler must be a function, not {func!r}")
    origin = func
    if marker is not HANDLER:
        func = override_of(func, overrides)
    call = Call(func, flavour(func), origin, marker)
    for parameter in own_parameters(func):
        try:
            if parameter.kind in _VARIADIC:
                raise TypeError(_NOTHING_FILLS)
            value = _read_parameter(parameter, path_names, overrides)
        except TypeError as exc:
            where = f"parameter {parameter.name!r} of {callable_name(func)}"
            raise TypeError(f"{where}: {exc}") from exc
        call.arguments.append(Argument(parameter.name, *by_position(func, parameter), value))
    return call


def override_of(func: Callable[..., Any], overrides: Overrides) -> Callable[..., Any]:
    """What is called in the place of `func`."""
    try:
        return overrides.get(func, func)
    except TypeError:  # not hashable, so it can't be in a dict
        return func


def settle_connection(call: Call, connection: Special) -> None:
    """Sets arguments that ask for CONNECTION, or for the kind of `connection`, to REQUEST.

    Raises: TypeError when an argument asks for the other kind of connection.
    """
    other = Special.WEBSOCKET if connection is Special.REQUEST else Special.REQUEST
    for argument in call.arguments:
        if isinstance(argument.value, Call):
            settle_connection(argument.value, connection)
        elif argument.value is other:
            raise TypeError(
                f"parameter {argument.name!r} of {callable_name(call.func)} is a "
                f"{other.name.title()}, which this route doesn't have; HTTPConnection stands for "
                "both"
            )
    for argument in call.arguments:
        if argument.value in (connection, Special.CONNECTION):
            argument.value = Special.REQUEST


def settle_scopes(call: Call, inherited: tuple[str, ...] = ()) -> bool:
    """Gives each SecurityScopes the scopes of its call and of those that depend on it.

    Calls that use scopes share their result only where these are the same. Returns whether `call`
    is one of them.

    Raises: TypeError when a SecurityScopes can't be passed by keyword.
    """
    scopes = tuple(dict.fromkeys((*inherited, *scopes_of(call.marker))))
    bound: dict[str, SecurityScopes] = {}
    uses_scopes = bool(scopes_of(call.marker))
    for argument in call.arguments:
        if isinstance(argument.value, Call):
            uses_scopes |= settle_scopes(argument.value, scopes)
        elif argument.value is Special.SCOPES:
            if argument.positional_only:
                name = callable_name(call.func)
                raise TypeError(f"parameter {argument.name!r} of {name} can't be positional only")
            bound[argument.name] = SecurityScopes(scopes)
    uses_scopes |= bool(bound)
    call.key = (call.origin, tuple(sorted(scopes)) if uses_scopes else (), call.lifetime)
    if bound:
        call.func = functools.partial(call.func, **bound)
        call.arguments = [
            dataclasses.replace(argument, positional=False)
            for argument in call.arguments
            if argument.name not in bound
        ]
    return uses_scopes


def return_annotation(func: Callable[..., Any]) -> Any:
    """The return annotation of `func`, MISSING if there is none."""
    if inspect.isclass(func):
        return MISSING
    annotation = signature_of(func).return_annotation
    if annotation is inspect.Signature.empty:
        return MISSING
    return _resolve(annotation, _namespace(func))


def resolve_type(annotation: Any, func: Callable[..., Any]) -> Any:
    """The type that a text stands for where `func` is defined. Raises: NameError when there is no
    such name."""
    return _resolve(annotation, _namespace(func))


def own_parameters(func: Callable[..., Any], *, strict: bool = True) -> Iterator[inspect.Parameter]:
    """The parameters to fill, with resolved annotations.

    Unless `strict`, annotations that can't be resolved become Any.

    Raises: NameError, TypeError, AttributeError or SyntaxError when an annotation can't be resolved
    and `strict` is set; TypeError also when Python can't read a signature from `func`.
    """
    origin = get_origin(func)  # the class, if `func` is a generic class with arguments
    func = origin if inspect.isclass(origin) else func
    try:
        signature = signature_of(func)
    except ValueError as exc:
        raise TypeError(f"{callable_name(func)} has no signature that Python can read") from exc
    namespace = _namespace(func)
    bound = func.keywords if isinstance(func, functools.partial) else {}
    for parameter in signature.parameters.values():
        if parameter.name in bound:
            continue
        try:
            annotation = _annotation_of(parameter, namespace)
        except (NameError, TypeError, AttributeError, SyntaxError):
            if strict:
                raise
            annotation = Any
        default = described_default(func, parameter.name, parameter.default)
        yield parameter.replace(annotation=annotation, default=default)


def _annotation_of(parameter: inspect.Parameter, namespace: dict[str, Any]) -> Any:
    """The resolved annotation of a parameter.

    The type of a dependency's result isn't needed if Depends names the function. Its names may then
    exist for type checkers only, and Any takes its place. All other names must exist, those of the
    metadata included: the dependency that they name has to be called.

    Raises: NameError for a name that isn't known; TypeError for what isn't a valid annotation.
    """
    try:
        return _resolve(parameter.annotation, namespace)
    except NameError:
        metadata = _metadata_of(parameter.annotation, namespace)
        if not any(
            isinstance(item, Depends) and item.dependency is not None
            for item in (*metadata, parameter.default)
        ):
            raise
    return Annotated[Any, *metadata] if metadata else Any


def _metadata_of(annotation: Any, namespace: dict[str, Any]) -> tuple[Any, ...]:
    """The metadata of an Annotated whose type isn't known. Raises: NameError, for its own names."""
    if isinstance(annotation, str):
        node = ast.parse(annotation.strip(), mode="eval").body
        if isinstance(node, ast.Subscript):
            inner = node.slice
            if not isinstance(inner, ast.Tuple) or not _is_known(node.value, namespace):
                return ()
            if _evaluate(node.value, namespace) is not Annotated:
                return ()
            return tuple(_evaluate(item, namespace) for item in inner.elts[1:])
        if not isinstance(node, ast.Name | ast.Attribute) or not _is_known(node, namespace):
            return ()
        annotation = _evaluate(node, namespace)
    return split_annotated(annotation)[1]


def _is_known(node: ast.expr, namespace: dict[str, Any]) -> bool:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return names <= namespace.keys() | vars(builtins).keys()


def _evaluate(node: ast.expr, namespace: dict[str, Any]) -> Any:
    code = compile(ast.Expression(node), "<annotation>", "eval")
    return eval(code, namespace)


def _namespace(func: Callable[..., Any]) -> dict[str, Any]:
    """The names that the annotations of `func` may use."""
    func = strip_partials(func)
    if not inspect.isclass(func) and not inspect.isroutine(func):
        func = call_method(func)
    func = inspect.unwrap(func)
    if inspect.ismethod(func):
        func = func.__func__
    if not inspect.isfunction(func):
        module = sys.modules.get(getattr(func, "__module__", None) or "")
        return dict(vars(module)) if module is not None else {}
    names = dict(func.__globals__)
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def _resolve(annotation: Any, namespace: dict[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if annotation is None:
        return type(None)
    if not isinstance(annotation, str) and not _has_forward_reference(annotation):
        return annotation
    import typing

    holder = type("_", (), {"__annotations__": {"it": annotation}})
    hints = typing.get_type_hints(holder, namespace, namespace, include_extras=True)
    return hints["it"]


def _has_forward_reference(annotation: Any) -> bool:
    arguments = getattr(annotation, "__args__", ())
    if not isinstance(arguments, tuple) or get_origin(annotation) is Literal:
        return False
    return any(isinstance(a, (ForwardRef, str)) or _has_forward_reference(a) for a in arguments)


def _read_parameter(
    parameter: inspect.Parameter, path_names: Collection[str], overrides: Overrides
) -> Field | Special | Call:
    """Where a parameter's value comes from."""
    bare, metadata = split_annotated(parameter.annotation)
    is_plain = is_plain_scalar(strip_optional(bare))  # as most are: nothing is inside
    check_metadata(metadata)
    if not is_plain:
        check_inner(parameter.annotation)
    if parameter.default is not parameter.empty:
        refuse_foreign(parameter.default)
    marker, default = _marker_and_default(parameter, metadata)
    # A dependency may make a Request or Response of its own.
    special = None
    if not is_plain and not isinstance(marker, Depends):
        check_annotation(bare)
        special = _special(bare)
    if special is not None:
        if marker is not None:
            raise TypeError(f"has {marker!r}, but its type says what it is; remove one of them")
        return special
    if isinstance(marker, Depends):
        dependency = bare if marker.dependency is None else marker.dependency
        return read_dependency(dependency, marker, path_names, overrides)
    if default is not MISSING:
        check_default(default)
    if not is_plain:
        check_types(parameter.annotation, _SPECIALS)
    if marker is None:
        marker = _implied_marker(parameter, path_names)
    if parameter.name in path_names and not isinstance(marker, Path):
        raise TypeError(f"it is in the path, but is marked {marker!r}; use Path() or rename it")
    return _read_field(parameter, marker, default, path_names)


def _special(bare: Any) -> Special | None:
    bare = strip_optional(bare)
    if is_class(bare, WebSocket):
        return Special.WEBSOCKET
    if bare is HTTPConnection:
        return Special.CONNECTION
    if is_class(bare, Request):
        return Special.REQUEST
    if is_class(bare, Response):
        return Special.RESPONSE
    if is_class(bare, BackgroundTasks):
        return Special.BACKGROUND
    if bare is SecurityScopes:
        return Special.SCOPES
    return None


def _marker_and_default(
    parameter: inspect.Parameter, metadata: tuple[Any, ...]
) -> tuple[Marker | Depends | None, Any]:
    found = [item() if isinstance(item, type) else item for item in metadata if is_marker(item)]
    default = MISSING if parameter.default is parameter.empty else marker_of(parameter.default)
    if isinstance(default, (Marker, Depends)):
        if found:
            raise TypeError(
                f"has {found[-1]!r} in Annotated and {default!r} as its default; keep one"
            )
        found, default = [default], MISSING
    if len(found) > 1:
        raise TypeError(f"has {found[0]!r} and {found[1]!r}; keep one")
    marker = found[0] if found else None
    if default is ...:
        default = MISSING
    if default is MISSING and isinstance(marker, Marker):
        default = marker.default
    return marker, default


def _implied_marker(parameter: inspect.Parameter, path_names: Collection[str]) -> Marker:
    if parameter.name in path_names:
        return Path()
    if is_upload(parameter.annotation):
        return File()
    return Query() if is_scalar(parameter.annotation) else Body()


def read_dependency(
    dependency: Any, marker: Depends, path_names: Collection[str], overrides: Overrides
) -> Call:
    """Reads the call of a dependency. A default beside `Annotated[T, Depends(…)]` is ignored: it
    is for programs that call the function themselves.

    Raises: TypeError when it can't be called for a request.
    """
    if dependency is Any:
        raise TypeError("Depends() needs a function: write Depends(function)")
    check_dependency(dependency)
    check_dependency(override_of(dependency, overrides))
    return read_call(dependency, path_names, overrides, marker=marker)


def scopes_of(marker: Depends) -> tuple[str, ...]:
    """The scopes that a Security names; none for another Depends."""
    return tuple(marker.scopes) if isinstance(marker, Security) else ()


def check_dependency(dependency: Any) -> None:
    """Raises: TypeError when `dependency` can't be called."""
    if callable(dependency) and not is_union(dependency):
        return
    refuse_foreign(dependency)
    if inspect.iscoroutine(dependency):
        dependency.close()  # it will not be awaited
        raise TypeError("Depends() has what a function returned; write its name without ()")
    raise TypeError(f"Depends() needs a callable, not {dependency!r}: write Depends(function)")


def _read_field(
    parameter: inspect.Parameter, marker: Marker, default: Any, path_names: Collection[str]
) -> Field:
    name = parameter.name
    _check_shape(parameter.annotation, marker)
    said = read_annotated_field(parameter.annotation, marker)
    names = said.names
    default = said.default if default is MISSING else default
    if isinstance(marker, Path):
        default = MISSING
    if isinstance(marker, Path) and len(names) > 1:  # routers' paths may have one or the other
        every = (*names, marker.alias or name, name)
        names = tuple(each for each in every if each in path_names)[:1] or names
    alias, further = next(iter(names), None), names[1:]
    if alias is None:
        alias = name
        if isinstance(marker, Header) and marker.convert_underscores:
            alias = name.replace("_", "-")
    if isinstance(marker, Path) and alias not in path_names:
        raise TypeError(
            f"it is marked Path(), but the path has no {{{alias}}}; "
            f"write {{{alias}}} into the path, or Query()"
        )
    factory = None if isinstance(marker, Path) else said.default_factory
    given = MISSING if isinstance(default, Factory) else default
    if default is not MISSING:
        factory = default.make if isinstance(default, Factory) else copier(default)
    if factory is not None:
        default = MISSING
    validates = said.validate_default and (default is not MISSING or factory is not None)
    annotation = parameter.annotation
    return Field(name, alias, annotation, marker, default, factory, further, given, validates)


def _check_shape(annotation: Any, marker: Marker) -> None:
    if is_upload(annotation) and not isinstance(marker, Form):
        raise TypeError("an UploadFile is a file of a form; write File() or nothing beside it")
    if isinstance(marker, Body) or is_scalar(annotation):
        return
    bare = strip_optional(annotation)
    if not isinstance(marker, Path) and (is_sequence(bare) or is_model(bare)):
        return
    raise TypeError(f"{annotation!r} can't come from the {marker.source}: it isn't a single value")
