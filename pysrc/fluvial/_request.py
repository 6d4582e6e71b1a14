"""The request as handlers see it: the connection's views, and the body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from ._connection import HTTPConnection
from ._validation.read_json import read_json


class Request(HTTPConnection):
    """One HTTP request.

    `async def` handlers read the body as it comes; for `def` handlers it is there already, see
    `body_nowait()`.
    """

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come; the last is empty.

        Raises: ClientDisconnect; RuntimeError when it was consumed before.
        """
        cache = self._store()
        if "body" in cache:
            yield cache["body"]
            yield b""
            return
        if cache.get("streamed"):
            raise RuntimeError("the body has been consumed by stream() before")
        cache["streamed"] = True
        while piece := await self.read():
            yield piece
        yield b""

    async def body(self) -> bytes:
        """The whole body. Raises: ClientDisconnect."""
        cache = self._store()
        if "body" not in cache:
            whole = self.body_nowait()
            if whole is None or cache.get("streamed"):
                whole = b"".join([piece async for piece in self.stream()])
            cache["body"] = whole
        return cast("bytes", cache["body"])

    async def json(self) -> Any:
        """The body decoded from JSON.

        Raises: json.JSONDecodeError, a ValueError, when it isn't JSON: answered with 422 unless
        the handler catches it; ClientDisconnect.
        """
        return self._decode_json(await self.body())

    def json_nowait(self) -> Any:
        """The collected body decoded from JSON, for `def` handlers. Raises: as `json`."""
        return self._decode_json(self.body_nowait() or b"")

    async def is_disconnected(self) -> bool:
        """Whether the client has gone away."""
        return self.disconnected

    def _decode_json(self, body: bytes) -> Any:
        return self._cached("json", lambda: read_json(body))
