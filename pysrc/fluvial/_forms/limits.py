"""The limits of forms. When one is exceeded, its flag is logged."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from ..exceptions import HTTPException

log = logging.getLogger("fluvial")

UNLIMITED = sys.maxsize
KIB = 1024

# The flags of the limits, by the names of the fields of FormLimits.
FLAGS = {
    "size": "--max-form-size",
    "files": "--max-form-files",
    "fields": "--max-form-fields",
    "parts": "--max-form-parts",
    "field_size": "--max-form-field-size",
    "memory": "--max-form-memory",
    "name": "--max-form-name",
    "headers": "--max-form-headers",
    "spool": "--form-spool",
}


@dataclass(frozen=True, slots=True)
class FormLimits:
    """The limits of one form. Sizes are in bytes; UNLIMITED is no limit.

    `field_size` is the maximum of one field, and `memory` that of all fields and of the files in
    memory; a file larger than `spool` isn't kept there. `name` limits the name of a field or a
    file, `headers` the header section of a part. `size` limits a whole multipart form; Fluvial's
    own server enforces it earlier.
    """

    size: int = 2 * KIB * KIB * KIB
    files: int = 1000
    fields: int = 1000
    parts: int = 2000
    field_size: int = KIB * KIB
    memory: int = 16 * KIB * KIB
    name: int = KIB
    headers: int = 8 * KIB
    spool: int = KIB * KIB

    def changed(
        self,
        max_files: float | None = None,
        max_fields: float | None = None,
        max_part_size: float | None = None,
    ) -> FormLimits:
        """A copy with the limits that are given, under Starlette's names for them. Where they allow
        more files or fields, there may be as many more parts."""
        given = {"files": max_files, "fields": max_fields, "field_size": max_part_size}
        others = {
            name: UNLIMITED if value >= UNLIMITED else int(value)
            for name, value in given.items()
            if value is not None
        }
        if not others:
            return self
        more = sum(
            max(0, others.get(each, 0) - getattr(self, each)) for each in ("files", "fields")
        )
        return dataclasses.replace(self, parts=min(self.parts + more, UNLIMITED), **others)


DEFAULTS = FormLimits()


class FormOptions(TypedDict, total=False):
    """The limits that an app, a router or a route sets, under Starlette's names for them."""

    max_fields: int
    max_files: int
    max_part_size: int


def check_form_limits(limits: Any, where: str) -> FormOptions:
    """A copy of `form_limits=…`. Raises: TypeError or ValueError for other names or values."""
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise TypeError(f"{where}: form_limits must be a dict, not {limits!r}")
    for name, value in limits.items():
        if name not in FormOptions.__annotations__:
            names = ", ".join(FormOptions.__annotations__)
            raise ValueError(f"{where}: form_limits has {name!r}; it takes {names}")
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{where}: {name} must be an integer from 0, not {value!r}")
    return cast("FormOptions", dict(limits))


def limits_of_server(limits: Mapping[str, int]) -> FormLimits:
    """The limits of forms among those of Config, which have "form_" before their names."""
    given = {name.removeprefix("form_"): limit for name, limit in limits.items() if "form_" in name}
    return dataclasses.replace(DEFAULTS, **{n: limit or UNLIMITED for n, limit in given.items()})


def refusal(name: str, status: int, detail: str) -> HTTPException:
    """The exception for a form that exceeds the limit `name`."""
    log.debug("Refused a form with %d: %s (%s)", status, detail, FLAGS[name])
    return HTTPException(status, detail)


def too_many_fields(limit: int) -> HTTPException:
    """The refusal of one more field than there may be."""
    return refusal("fields", 400, f"Too many fields. Maximum number of fields is {limit}.")


def too_much_in_memory(limit: int) -> HTTPException:
    """The refusal of fields that are too large together."""
    detail = f"The form's fields are larger than {limit} bytes together"
    return refusal("memory", 413, f"{detail} ({FLAGS['memory']})")
