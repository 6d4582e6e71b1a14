"""What a signature declares about one value of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from .._validation.validators import Validator, make_adapter, make_validator
from ..params import MISSING, Marker

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

    from .._validation.problems import Loc


@dataclass(frozen=True, eq=False)
class Field:
    """A value from the request, from which binding, validation and documentation are derived.

    `name` is the parameter's name, `alias` its name in the request, and `source` the part of the
    request that has it. `annotation` is the type, including the metadata of its Annotated. `info`
    is what the marker adds, and `adapter` is pydantic's validator and JSON Schema for both. These
    two are made on first use, because that imports pydantic.

    The value is required if there is neither kind of default. `default` is shared by all requests.
    `default_factory` is called for each request; defaults that a request could change have one,
    too.
    """

    name: str
    alias: str
    annotation: Any
    marker: Marker
    default: Any
    default_factory: Callable[[], Any] | None
    further: tuple[str, ...] = ()  # other names that are accepted like `alias`
    given: Any = MISSING  # the default as it is written, also where requests get copies of it
    validates_default: bool = False

    def absent(self, loc: Loc) -> Any:
        """The value when none was sent, MISSING if it is required.

        Raises: RequestValidationError when the default is validated, and isn't valid; `loc` is its
        place.
        """
        value = self.default if self.default_factory is None else self.default_factory()
        return self._validator.from_python(value, loc) if self.validates_default else value

    @property
    def needs_python(self) -> bool:
        """Whether the value of an absent one isn't the same object each time."""
        return self.default_factory is not None or self.validates_default

    @property
    def source(self) -> str:
        """One of "path", "query", "header", "cookie" and "body"."""
        return self.marker.source

    @property
    def is_required(self) -> bool:
        """Whether a request without this value is refused."""
        return self.default is MISSING and self.default_factory is None

    @cached_property
    def info(self) -> FieldInfo:
        """Default, limits and descriptions, as pydantic's FieldInfo; its `annotation` is the
        field's type.

        Raises: TypeError for limits that pydantic refuses.
        """
        import pydantic

        marker = self.marker
        options: dict[str, Any] = dict(marker.constraints)
        for name in ("title", "description", "examples", "deprecated", "json_schema_extra"):
            value = getattr(marker, name)
            if value is not None:
                options[name] = value
        if self.given is not MISSING:
            options["default"] = self.given
        elif marker.default_factory is not None:
            options["default_factory"] = marker.default_factory
        info: FieldInfo = pydantic.Field(**options)
        info.annotation = self.annotation
        return info

    @cached_property
    def _validator(self) -> Validator:
        return make_validator(self.annotation, self.marker.constraints, lambda: self.adapter)

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates values for the field, and makes the JSON Schema of the field's values.

        Raises: TypeError when pydantic can't validate the type, or refuses a limit.
        """
        info = self.info
        kind: Any = Annotated[self.annotation, info]
        return make_adapter(kind)
