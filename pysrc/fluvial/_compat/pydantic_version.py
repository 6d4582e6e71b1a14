"""What fastapi._compat says of pydantic."""

from __future__ import annotations

from importlib.metadata import version

PYDANTIC_VERSION = version("pydantic")
PYDANTIC_VERSION_MINOR_TUPLE = tuple(map(int, PYDANTIC_VERSION.split(".")[:2]))
PYDANTIC_V2 = True
