"""A Falcon ASGI app."""

from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi


class Items:
    async def on_get(self, req: Any, resp: Any, number: int) -> None:
        resp.media = {"number": number, "q": req.get_param("q")}

    async def on_post(self, req: Any, resp: Any, number: int) -> None:
        resp.media = await req.get_media()
        resp.status = falcon.HTTP_201


class Echo:
    async def on_post(self, req: Any, resp: Any) -> None:
        resp.data = await req.stream.read()

    async def on_get(self, req: Any, resp: Any) -> None:
        async def numbers() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%d," % number

        resp.stream = numbers()

    async def on_websocket(self, req: Any, ws: Any) -> None:
        if req.get_param("no"):
            raise falcon.HTTPForbidden
        await ws.accept()
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except falcon.WebSocketDisconnected:
            return


class Events:
    async def on_get(self, req: Any, resp: Any) -> None:
        async def emitter() -> AsyncIterator[Any]:
            for number in range(3):
                yield falcon.asgi.SSEvent(text=str(number))

        resp.sse = emitter()


app = falcon.asgi.App()
app.add_route("/items/{number:int}", Items())
app.add_route("/echo", Echo())
app.add_route("/events", Events())
