"""Which exceptions a client has: one for each status that some operation documents as an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from .names import Names, pascal_case

if TYPE_CHECKING:
    from .api import Operation, Response

# RFC 9110's names, where those of older Pythons are older.
_PHRASES = {
    "413": "Content Too Large",
    "414": "URI Too Long",
    "416": "Range Not Satisfiable",
    "422": "Unprocessable Content",
    "4XX": "Client",
    "5XX": "Server",
    "default": "Other",
}


@dataclass(frozen=True, slots=True)
class Error:
    """An exception: its name, and the responses of all operations that it is raised for."""

    status: str
    phrase: str
    name: str
    responses: tuple[Response, ...]


def is_error(response: Response, operation: Operation) -> bool:
    """Whether the response is no success: "default" is one if there is no other."""
    if response.status == "default":
        return any(each.status.startswith("2") for each in operation.responses)
    return response.status.startswith(("4", "5"))


class Errors:
    """The exceptions of a client, by status."""

    def __init__(self, operations: Iterable[Operation], names: Names) -> None:
        found: dict[str, list[Response]] = {}
        for operation in operations:
            for response in operation.responses:
                if is_error(response, operation):
                    found.setdefault(response.status, []).append(response)
        self._errors = {
            status: self._make(status, tuple(dict.fromkeys(found[status])), names)
            for status in sorted(found)
        }

    @staticmethod
    def _make(status: str, responses: tuple[Response, ...], names: Names) -> Error:
        phrase = _PHRASES.get(status, "")
        if not phrase:
            known = {str(each.value): each.phrase for each in HTTPStatus}
            phrase = known.get(status, f"Status {status}")
        name = pascal_case(phrase.lower().replace("'", "")).removesuffix("Error") + "Error"
        return Error(status, phrase, names.add(name), responses)

    def all(self) -> Iterable[Error]:
        return self._errors.values()

    def of(self, operation: Operation) -> list[tuple[Error, Response]]:
        """The operation's, with what it documents for each."""
        return [
            (self._errors[response.status], response)
            for response in operation.responses
            if is_error(response, operation)
        ]
