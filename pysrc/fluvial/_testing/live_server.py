"""An app on a port, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any, Self

from .._loop import Loop
from .._serving.config import Config
from .._serving.load import adapt
from .._serving.server import Service, StartError


class LiveServer:
    """The app on a free port of 127.0.0.1, within a `with` block; `url` is its address."""

    def __init__(self, app: Any) -> None:
        self._app = adapt(app)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.url = f"http://{self.host}:{self.port}"
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="fluvial-live-server", daemon=True)

    def __str__(self) -> str:
        return self.url

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._service.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(self._main())
        except BaseException as exc:
            if self._ready.done():
                raise
            self._listener.close()
            self._ready.set_exception(exc.__cause__ or exc if isinstance(exc, StartError) else exc)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        config = Config(access_log=False, graceful_timeout=1.0)
        self._service = Service(self._app, [self._listener], config)
        await self._service.run(lambda: self._ready.set_result(None))
