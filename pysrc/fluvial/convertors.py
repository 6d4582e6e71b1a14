"""The kinds of parameters in paths, `{name:kind}`, and how to add one.

    register_url_convertor("date", DateConvertor())

The built-in kinds are matched in C. Requests for a path with another kind go
to its route first, and get 404 when the text doesn't fit.
"""

from __future__ import annotations

from ._application.convertors import (
    CONVERTOR_TYPES,
    Convertor,
    FloatConvertor,
    IntegerConvertor,
    PathConvertor,
    StringConvertor,
    UUIDConvertor,
    register_url_convertor,
)

__all__ = [
    "CONVERTOR_TYPES",
    "Convertor",
    "FloatConvertor",
    "IntegerConvertor",
    "PathConvertor",
    "StringConvertor",
    "UUIDConvertor",
    "register_url_convertor",
]
