"""WSGI apps for tests, and what their servers logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from support.asgi import Notes

    App = Callable[[dict[str, Any], Any], Any]

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
TEXT = ("Content-Type", "text/plain")


def checked(app: App) -> App:
    """`app` behind the validator, which looks at both sides."""
    inner = validator(app)

    def outer(environ: dict[str, Any], start_response: Any) -> Any:
        return inner(environ, start_response)

    return outer


def answering(result: Any, *headers: tuple[str, str], status: str = "200 OK") -> App:
    """An app that gives `result`, called if it can be."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, [TEXT, *headers])
        return result() if callable(result) else result

    return app


def errors(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged of errors, with the exceptions."""
    records = [r for r in caplog.records if r.levelno >= logging.ERROR]
    return "\n".join(r.getMessage() + str(r.exc_info or "") for r in records)


class Result:
    """An iterable that notes what happens to it; exceptions among `pieces` are raised."""

    def __init__(self, notes: Notes, *pieces: Any) -> None:
        self.notes = notes
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            self.notes.add(piece)
            yield piece

    def close(self) -> None:
        self.notes.add("closed")


class Sized(Result):
    """The same with a length."""

    def __len__(self) -> int:
        return len(self.pieces)
