"""An app that says which certificate it has presented to whoever asks."""

from __future__ import annotations

from typing import Any

from fluvial import App, Request


def presenting() -> App:
    app = App()

    @app.get("/")
    async def presented(request: Request) -> Any:
        return (request.tls or {})["server_cert"]

    return app
