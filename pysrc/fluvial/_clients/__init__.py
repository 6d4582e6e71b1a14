"""Typed clients written from an OpenAPI document: what is in it, as Python or TypeScript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .api import Api, DocumentError
from .python import write_python
from .reading import read_document
from .typescript import write_typescript

__all__ = ["DocumentError", "write_client"]

_WRITERS: dict[str, Callable[[Api, str], str]] = {
    "python": write_python,
    "typescript": write_typescript,
}


def write_client(document: dict[str, Any], language: str, name: str) -> str:
    """The text of a client, whose class is called `name`, for the server of this document.

    Raises: DocumentError when the document holds what a client can't be made for.
    """
    return _WRITERS[language](read_document(document), name)
