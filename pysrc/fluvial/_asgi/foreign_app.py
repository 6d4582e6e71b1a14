"""Apps that aren't Fluvial's. The callable's parameters show which interface an app has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._calling.callables import callable_name, is_async, signature_of
from .._wsgi.as_asgi import Wsgi

if TYPE_CHECKING:
    from .protocol import Asgi3, Message, Receive, Send

INTERFACES = ("auto", "fluvial", "asgi3", "asgi2", "wsgi")

# The number of arguments that a server passes. The callable may have further optional parameters.
_BY_ARGUMENTS = {3: "asgi3", 2: "wsgi", 1: "asgi2"}


class InterfaceError(Exception):
    """The object isn't an app, or isn't of the requested kind; the message says why.

    `factory`: it can be called without arguments, so that it may return an app.
    """

    def __init__(self, message: str, *, factory: bool = False) -> None:
        super().__init__(message)
        self.factory = factory


@dataclass(frozen=True, slots=True)
class Foreign:
    """An app that isn't Fluvial's; `interface` is "asgi3", "asgi2" or "wsgi"."""

    app: Callable[..., Any]
    interface: str

    def as_asgi3(self, *, multiprocess: bool = False) -> Asgi3:
        """The app as an ASGI 3 callable; `multiprocess` becomes a WSGI app's wsgi.multiprocess."""
        if self.interface == "asgi2":
            return _from_asgi2(self.app)
        if self.interface == "wsgi":
            return Wsgi(self.app, multiprocess=multiprocess)
        return self.app


def make_foreign(found: Any, interface: str = "auto") -> Foreign:
    """Wraps `found`, which isn't a Fluvial app, so that it can be served.

    Raises: InterfaceError when it isn't an app.
    """
    if interface == "fluvial":
        raise InterfaceError(f"is not a Fluvial app but {kind_of(found)}")
    if not callable(found):
        raise InterfaceError(f"is not an app but {kind_of(found)}")
    return Foreign(found, _detect(found) if interface == "auto" else interface)


def kind_of(value: Any) -> str:
    """How to refer to an object in messages."""
    return f"an object of type {type(value).__name__}"


def _detect(app: Callable[..., Any]) -> str:
    """ "asgi3", "asgi2" or "wsgi". Raises: InterfaceError when the parameters fit none of them."""
    try:
        parameters = signature_of(app).parameters.values()
    except (ValueError, TypeError):
        raise _unclear(app, "it has no signature") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        if is_async(app):
            return "asgi3"
        raise _unclear(app, "it takes any number of arguments")
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise _unclear(app, "it needs arguments by keyword")
    needed = sum(p.default is p.empty for p in positional)
    if needed == 0:
        raise InterfaceError(f"is not an app but {kind_of(app)}", factory=True)
    for count, interface in _BY_ARGUMENTS.items():
        if needed <= count <= len(positional):
            if interface != "asgi3" and is_async(app):
                raise _unclear(app, f"it is asynchronous but takes {needed} arguments")
            return interface
    raise _unclear(app, f"it takes {needed} arguments")


def _unclear(app: Callable[..., Any], why: str) -> InterfaceError:
    return InterfaceError(
        f"may be an app of any kind ({callable_name(app)}), since {why}; "
        "say which with --interface asgi3, asgi2 or wsgi"
    )


def _from_asgi2(app: Callable[[Message], Any]) -> Asgi3:
    async def asgi3(scope: Message, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return asgi3
