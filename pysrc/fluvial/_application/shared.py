"""What the routes of a router, or of one inclusion, have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._forms.limits import FormOptions, check_form_limits
from .._signature.foreign import check_dependencies
from .._validation.annotations import is_class
from ..responses import Response
from .option_types import check_option_types
from .timeouts import check_timeout

if TYPE_CHECKING:
    from ..params import Depends
    from .routes import RouteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all routes of a router, or of one inclusion, have in common."""

    prefix: str = ""
    tags: Sequence[str] = ()
    dependencies: Sequence[Depends] = ()
    default_response_class: type[Response] | None = None
    responses: dict[int | str, dict[str, Any]] | None = None
    callbacks: Sequence[Any] = ()
    deprecated: bool | None = None
    include_in_schema: bool = True
    generate_unique_id_function: Callable[[Any], str] | None = None
    max_body_size: int | None = None
    timeout: float | None = None
    cancel_on_disconnect: bool | None = None
    form_limits: FormOptions = field(default_factory=FormOptions)
    strict_content_type: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Shared:
        """Those of the arguments `given` to a function that routes share, checked.

        Raises: TypeError or ValueError for what can't be meant, in a message for `where`.
        """
        taken = {each.name: given[each.name] for each in fields(cls) if each.name in given}
        check_option_types(taken, where)
        for name in ("tags", "callbacks"):
            if name in taken:
                taken[name] = tuple(taken[name] or ())
        taken["form_limits"] = check_form_limits(taken.get("form_limits"), where)
        taken["dependencies"] = check_dependencies(taken.get("dependencies") or (), where)
        shared = cls(**taken)
        shared.check(where)
        return shared

    def check(self, where: str) -> None:
        """Raises: TypeError or ValueError for what can't be meant, in a message for `where`."""
        prefix = self.prefix
        if not isinstance(prefix, str):
            raise TypeError(f"{where}: prefix must be a str, not {prefix!r}")
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"{where}: a prefix begins with '/' and ends without: {prefix!r}")
        check_timeout(self.timeout, where)
        default = self.default_response_class
        if not (default is None or is_class(default, Response)):
            raise TypeError(
                f"{where}: default_response_class must be a class of fluvial's responses, not "
                f"{default!r}"
            )

    def options(self, own: RouteOptions) -> RouteOptions:
        """Those of a route, with what is shared before its own, or where it has none."""
        options: RouteOptions = {**own}
        for name in ("tags", "dependencies", "callbacks"):
            if getattr(self, name):
                given: Any = own.get(name) or ()
                options[name] = [*getattr(self, name), *given]
        if self.responses:
            options["responses"] = {**self.responses, **(own.get("responses") or {})}
        for name, default in (
            ("response_class", self.default_response_class),
            ("generate_unique_id_function", self.generate_unique_id_function),
            ("strict_content_type", self.strict_content_type),
            ("timeout", self.timeout),
            ("cancel_on_disconnect", self.cancel_on_disconnect),
        ):
            if default is not None and own.get(name) is None:
                options[name] = default  # type: ignore[literal-required]
        if (
            self.max_body_size is not None
            and own.get("body_limit", own.get("max_body_size")) is None
        ):
            options["body_limit"] = self.max_body_size
        if self.deprecated and not own.get("deprecated"):
            options["deprecated"] = True
        if not self.include_in_schema:
            options["include_in_schema"] = False
        if self.form_limits:
            options["form_limits"] = {**self.form_limits, **(own.get("form_limits") or {})}
        return options
