"""Apps under another ASGI server than ours, and inside other apps."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
from fluvial import App
from starlette.applications import Starlette
from starlette.routing import Mount
from support.ws_client import TEXT, Answer, connect, upgraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from conftest import Serve

    Host = Callable[[App], Any]  # what it gives is like support.serving.Served

PATIENCE = 30  # seconds
# The implementation on the newer interface of `websockets`; the other warns of its age.
WEBSOCKETS: Any = "websockets-sansio"
HOSTS = ("fluvial", "uvicorn", "below fluvial", "below starlette")


@dataclass(frozen=True)
class Foreign:
    """An app that another server runs: what a client needs of `support.serving.Served`."""

    address: tuple[str, int]

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://{self.address[0]}:{self.address[1]}"

    def connect(self) -> socket.socket:
        """A raw connection."""
        sock = socket.create_connection(self.address)
        sock.settimeout(PATIENCE)
        return sock


class _Server(uvicorn.Server):
    """Tells when it has started, or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextlib.contextmanager
def under_uvicorn(app: Any, **options: Any) -> Iterator[Foreign]:
    """Serves `app`; `options` are those of uvicorn.Config."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_config=None, ws=WEBSOCKETS, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="uvicorn")
    thread.start()
    try:
        assert server.is_up.wait(PATIENCE)
        yield Foreign(sock.getsockname())
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        sock.close()
    assert not thread.is_alive(), "uvicorn did not stop"


def below_starlette(app: Any, path: str = "") -> Starlette:
    """A Starlette app that has `app` mounted at `path`."""
    return Starlette(routes=[Mount(path or "/", app)])


@contextlib.contextmanager
def hosting(kind: str, serve: Serve) -> Iterator[Host]:
    """Serves Fluvial apps in one of the ways of HOSTS."""
    with contextlib.ExitStack() as stack:

        def host(app: App) -> Any:
            if kind == "uvicorn":
                return stack.enter_context(under_uvicorn(app))
            if kind == "below starlette":
                return stack.enter_context(under_uvicorn(below_starlette(app)))
            if kind == "below fluvial":
                outer = App()
                outer.mount("/", app)
                app = outer
            return serve(app)

        yield host


# ---- WebSockets --------------------------------------------------------------------------------


def app_with(handler: Any, path: str = "/") -> App:
    """An app with one WebSocket handler."""
    app = App()
    app.add_api_websocket_route(path, handler)
    return app


def text_of(served: Any, path: str = "/", fields: Iterable[str] = ()) -> str:
    """The first message that the handler sends, after which it closes with 1000."""
    with upgraded(served, path, fields) as client:
        found = client.read()
        assert found.opcode == TEXT, (found.code, found.reason)
        assert client.read().code == 1000
        return found.payload.decode()


def declined(served: Any, path: str = "/", fields: Iterable[str] = ()) -> Answer:
    """The answer to an offer."""
    with connect(served) as client:
        client.send(client.request(path, fields))
        return client.answer()
