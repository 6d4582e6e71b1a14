"""Markers in handlers' signatures: where an argument comes from, and its constraints.

Both `q: str = Query("x", max_length=3)` and `q: Annotated[str, Query(max_length=3)] = "x"` work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Never, Self, TypedDict, Unpack
from weakref import WeakKeyDictionary

from ._calling.options import named_options, refuse_unknown
from ._validation.marked_fields import field_of, is_model
from .exceptions import FastAPIDeprecationWarning

if TYPE_CHECKING:
    import re

__all__ = [
    "Body",
    "Cookie",
    "Depends",
    "File",
    "Form",
    "Header",
    "Path",
    "Query",
    "Security",
    "SecurityScopes",
]


Scope = Literal["function", "request", "app"]


class _Missing:
    """The type of MISSING, which stands for "no default"."""

    def __repr__(self) -> str:
        return "MISSING"

    def __deepcopy__(self, memo: object) -> _Missing:
        return self


MISSING: Final[Any] = _Missing()


class MarkerOptions(TypedDict, total=False):
    """What all markers take besides the default; the limits and words are pydantic's `Field`'s.

    `validate_default` has defaults pass the limits and validators, too. `alias` is the name in the
    request, `validation_alias` this or pydantic's AliasChoices of
    several. The document has `title` to `deprecated`; `openapi_examples` are its Example Objects by
    name, and `example` is what it had in their place before version 3.1.
    """

    default_factory: Callable[[], Any] | None
    validate_default: bool | None
    alias: str | None
    validation_alias: Any
    gt: float | None
    ge: float | None
    lt: float | None
    le: float | None
    multiple_of: float | None
    min_length: int | None
    max_length: int | None
    pattern: str | re.Pattern[str] | None
    regex: str | None
    discriminator: Any
    strict: bool | None
    union_mode: Literal["smart", "left_to_right"] | None
    fail_fast: bool | None
    max_digits: int | None
    decimal_places: int | None
    allow_inf_nan: bool | None
    title: str | None
    description: str | None
    examples: list[Any] | None
    example: Any
    openapi_examples: dict[str, Any] | None
    json_schema_extra: Any
    deprecated: bool | str | None
    include_in_schema: bool


class ParamTypes(enum.Enum):
    """The places of parameters in OpenAPI."""

    query = "query"
    header = "header"
    path = "path"
    cookie = "cookie"


class Marker:
    """Base of the parameters' markers."""

    source: str

    def __init__(
        self,
        default: Any = MISSING,
        *,
        default_factory: Callable[[], Any] | None = None,
        validate_default: bool | None = None,
        alias: str | None = None,
        validation_alias: Any = None,
        gt: float | None = None,
        ge: float | None = None,
        lt: float | None = None,
        le: float | None = None,
        multiple_of: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | re.Pattern[str] | None = None,
        regex: str | None = None,
        discriminator: Any = None,
        strict: bool | None = None,
        union_mode: Literal["smart", "left_to_right"] | None = None,
        fail_fast: bool | None = None,
        max_digits: int | None = None,
        decimal_places: int | None = None,
        allow_inf_nan: bool | None = None,
        title: str | None = None,
        description: str | None = None,
        examples: list[Any] | None = None,
        example: Any = MISSING,
        openapi_examples: dict[str, Any] | None = None,
        json_schema_extra: Any = None,
        deprecated: bool | str | None = None,
        include_in_schema: bool = True,
        **unknown: Never,
    ) -> None:
        if unknown:
            refuse_unknown(f"{type(self).__name__}()", unknown, _option_names(type(self)))
        if default is not MISSING and default is not ... and default_factory is not None:
            raise TypeError("give default or default_factory, not both")
        _warn_of_old_names(regex, example)
        self.default = MISSING if default is ... else default
        self.default_factory = default_factory
        self.validate_default = validate_default
        self.alias = alias
        self.validation_alias = validation_alias
        # The names in the request, tried in this order; empty for the parameter's own name.
        self.names = alias_names(alias if validation_alias is None else validation_alias)
        limits: dict[str, Any] = {"gt": gt, "ge": ge, "lt": lt, "le": le}
        limits |= {"multiple_of": multiple_of, "pattern": regex if pattern is None else pattern}
        limits |= {"min_length": min_length, "max_length": max_length, "strict": strict}
        limits |= {"max_digits": max_digits, "decimal_places": decimal_places}
        limits |= {"allow_inf_nan": allow_inf_nan, "discriminator": discriminator}
        limits |= {"union_mode": union_mode, "fail_fast": fail_fast}
        self.constraints = {name: limit for name, limit in limits.items() if limit is not None}
        self.title = title
        self.description = description
        self.examples = examples
        self.example = example
        self.openapi_examples = openapi_examples
        self.json_schema_extra = json_schema_extra
        self.deprecated = deprecated
        self.include_in_schema = include_in_schema

    def __get__(self, instance: Any, owner: Any) -> Any:
        """The marker; in the body of a pydantic model it is a field of it."""
        if instance is None and is_model(owner):
            return field_of(self)
        return self

    @property
    def in_(self) -> ParamTypes:
        """Where a parameter of OpenAPI is."""
        return ParamTypes(self.source)

    def __repr__(self) -> str:
        default = "PydanticUndefined" if self.default is MISSING else self.default
        return f"{type(self).__name__}({default})"


def _warn_of_old_names(regex: Any, example: Any) -> None:
    for name, given, better in (
        ("regex", regex is not None, "pattern"),
        ("example", example is not MISSING, "examples"),
    ):
        if given:
            message = f"`{name}` is deprecated: write `{better}`"
            warnings.warn(message, FastAPIDeprecationWarning, stacklevel=4)


def alias_names(alias: Any) -> tuple[str, ...]:
    """The names in a str, or in pydantic's AliasChoices of them."""
    names = () if alias is None else tuple(getattr(alias, "choices", (alias,)))
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"an alias is a str or AliasChoices of some, not {name!r}")
    return names


def _option_names(cls: type[Marker]) -> set[str]:
    inits: list[Any] = [
        vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)
    ]
    names = {name for init in inits for name in inspect.signature(init).parameters}
    return names - {"self", "unknown", "options"}


class Path(Marker):
    """A parameter of the path."""

    source = "path"

    def __init__(self, default: Any = MISSING, **options: Unpack[MarkerOptions]) -> None:
        super().__init__(default, **options)
        if self.default is not MISSING or self.default_factory is not None:
            raise TypeError("a path parameter can't have a default: it is always there")


class Query(Marker):
    """A parameter of the query."""

    source = "query"


Param = Query  # FastAPI's base class of the markers, which means a parameter of the query


class Header(Marker):
    """A header field; underscores in the name stand for hyphens if `convert_underscores` is set."""

    source = "header"

    def __init__(
        self,
        default: Any = MISSING,
        *,
        convert_underscores: bool = True,
        **options: Unpack[MarkerOptions],
    ) -> None:
        super().__init__(default, **options)
        self.convert_underscores = convert_underscores


class Cookie(Marker):
    """A cookie."""

    source = "cookie"


class Body(Marker):
    """The JSON body; with `embed`, or if there are several such parameters, one member of it."""

    source = "body"

    def __init__(
        self,
        default: Any = MISSING,
        *,
        embed: bool | None = None,
        media_type: str = "application/json",
        **options: Unpack[MarkerOptions],
    ) -> None:
        super().__init__(default, **options)
        self.embed = embed
        self.media_type = media_type


class Form(Body):
    """A field of a form, URL-encoded or multipart (RFC 7578); for a model, all of its fields.

    A parameter that is a list takes all fields of the name. Empty fields count as absent.
    """

    def __init__(
        self,
        default: Any = MISSING,
        *,
        media_type: str = "application/x-www-form-urlencoded",
        **options: Unpack[MarkerOptions],
    ) -> None:
        super().__init__(default, media_type=media_type, **options)


class File(Form):
    """A file of a multipart form: as an UploadFile, or its content as bytes."""

    def __init__(
        self,
        default: Any = MISSING,
        *,
        media_type: str = "multipart/form-data",
        **options: Unpack[MarkerOptions],
    ) -> None:
        super().__init__(default, media_type=media_type, **options)


class _Waiting(NamedTuple):
    tasks_waiting: int


class Limit(asyncio.Semaphore):
    """How many calls of a dependency may run at once."""

    @property
    def value(self) -> int:
        """How many more may begin now."""
        return self._value

    def statistics(self) -> _Waiting:
        """How many tasks wait."""
        return _Waiting(sum(not each.done() for each in self._waiters or ()))


@dataclasses.dataclass(init=False, eq=False, repr=False)
class Depends:
    """The result of another callable, whose own parameters come from the request like a handler's.

    It is called once per request, unless `use_cache` is false. Without `dependency`, the
    parameter's annotation is called.

    `scope` says when the code after a generator's `yield` runs. "function": when the handler has
    returned. "request": after the response. By default after a streamed response, and before
    another one, which can then still report that the code failed. With "app", the dependency is
    made once, when the app starts, and closed when it ends.

    `max_concurrency` is how many of its calls run at once in each loop; others wait. A generator
    counts until its end.

    It is a dataclass, so `dataclasses.replace(depends, use_cache=False)` makes another one.
    """

    __slots__ = ("_semaphores", "dependency", "max_concurrency", "scope", "use_cache")

    dependency: Callable[..., Any] | None
    use_cache: bool
    scope: Scope | None
    max_concurrency: int | None

    @named_options
    def __init__(
        self,
        dependency: Callable[..., Any] | None = None,
        *,
        use_cache: bool = True,
        scope: Scope | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        if not (scope is None or isinstance(scope, str)):
            raise TypeError(f"a scope is a str, not {scope!r}; did you mean 'scopes'?")
        if scope not in (None, "function", "request", "app"):
            raise ValueError(f'a scope is "function", "request" or "app", not {scope!r}')
        if not (max_concurrency is None or (type(max_concurrency) is int and max_concurrency > 0)):
            raise ValueError(
                f"max_concurrency is a positive integer or None, not {max_concurrency!r}"
            )
        self.dependency = dependency
        self.use_cache = use_cache
        self.scope = scope
        self.max_concurrency = max_concurrency
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, Limit] = WeakKeyDictionary()

    def _key(self) -> tuple[Any, ...]:
        return (self.dependency, self.use_cache, self.scope)

    # Equal declarations mean the same, but each with a limit has a limit of its own.
    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or self.max_concurrency is not None:
            return other is self
        return other.max_concurrency is None and self._key() == other._key()

    def __hash__(self) -> int:
        try:
            return hash((type(self), *self._key()))
        except TypeError:  # of a callable object that isn't hashable
            return hash((type(self), id(self.dependency)))

    def get_semaphore(self) -> Limit:
        """The semaphore that enforces `max_concurrency` in the running loop."""
        assert self.max_concurrency is not None
        loop = asyncio.get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = Limit(self.max_concurrency)
        return self._semaphores[loop]

    @property
    def _concurrency(self) -> Self | None:
        """Where FastAPI keeps `get_semaphore`, by which one can see how many calls run."""
        return None if self.max_concurrency is None else self

    def __repr__(self) -> str:
        return f"Depends({self.dependency!r})"


class Instance(Depends):
    """Makes the object of a controller. It is called where the handler is awaited, not in a thread,
    because an `__init__` that only stores its arguments takes less time than a hop to a thread.
    """

    __slots__ = ()


@dataclasses.dataclass(init=False, eq=False, repr=False)
class Security(Depends):
    """A dependency with the OAuth 2 `scopes` for which its result is needed.

    It sees them, and those of all that depend on it, in a parameter of type SecurityScopes.
    """

    __slots__ = ("scopes",)

    scopes: tuple[str, ...]

    @named_options
    def __init__(
        self,
        dependency: Callable[..., Any] | None = None,
        *,
        scopes: Sequence[str] | None = None,
        use_cache: bool = True,
        scope: Scope | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        super().__init__(
            dependency, use_cache=use_cache, scope=scope, max_concurrency=max_concurrency
        )
        given = () if scopes is None else scopes
        if isinstance(given, str) or not all(isinstance(scope, str) for scope in given):
            raise TypeError(f'Security(): write scopes=["name", …], not {scopes!r}')
        self.scopes = tuple(given)

    def _key(self) -> tuple[Any, ...]:
        return (*super()._key(), self.scopes)

    def __repr__(self) -> str:
        return f"Security({self.dependency!r}, scopes={list(self.scopes)!r})"


class SecurityScopes:
    """The scopes that a request needs, from the outermost Security to the one of the dependency."""

    __slots__ = ("_scopes",)

    def __init__(self, scopes: Sequence[str] | None = None) -> None:
        self._scopes = tuple(scopes or ())

    @property
    def scopes(self) -> list[str]:
        """Their names, in a list of its own."""
        return list(self._scopes)

    @property
    def scope_str(self) -> str:
        """Their names with spaces between, as in a WWW-Authenticate field (RFC 6750 section 3)."""
        return " ".join(self._scopes)
