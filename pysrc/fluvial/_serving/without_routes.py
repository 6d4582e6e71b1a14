"""Servers without an app of the user's: for metrics, and until the app has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._application.core_options import core_options
from ..applications import App
from ..requests import Request

if TYPE_CHECKING:
    from .._loop import Loop


def server_without_routes(loop: Loop, pool: _core.Pool, **options: Any) -> _core.Server:
    """A server that responds by `own_mounts` and `root`, with 404 to all else.

    `options` are arguments of `_core.Server`.
    """
    app = App(openapi_url=None)
    app.plan_routes()
    return _core.Server(
        loop,
        app.table,
        pool,
        app=app,
        request_type=Request,
        **core_options(app.errors),
        **options,
    )
