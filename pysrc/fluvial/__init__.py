"""Fluvial: a web framework and ASGI server whose core is C on libuv and llhttp."""

from ._serving import early  # isort: skip  # first: the others take long to import

from ._loop import Loop, run_async
from ._serving.config import Config
from ._serving.embedded import Server, serve
from ._serving.run import run
from ._starlette import Router, Starlette
from .applications import App, FastAPI
from .background import BackgroundTask, BackgroundTasks
from .datastructures import (
    URL,
    FormData,
    Headers,
    MutableHeaders,
    QueryParams,
    State,
    UploadFile,
)
from .encoders import jsonable_encoder
from .exceptions import (
    ClientDisconnect,
    HTTPException,
    RequestValidationError,
    ResponseValidationError,
    RouteWarning,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketRequestValidationError,
)
from .params import Body, Cookie, Depends, File, Form, Header, Path, Query, Security
from .requests import HTTPConnection, Request
from .responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from .routing import APIRouter
from .sse import EventSourceResponse, ServerSentEvent
from .websockets import WebSocket, WebSocketState

__version__ = "0.1.0"
__all__ = [
    "URL",
    "APIRouter",
    "App",
    "BackgroundTask",
    "BackgroundTasks",
    "Body",
    "ClientDisconnect",
    "Config",
    "Cookie",
    "Depends",
    "EventSourceResponse",
    "FastAPI",
    "File",
    "FileResponse",
    "Form",
    "FormData",
    "HTMLResponse",
    "HTTPConnection",
    "HTTPException",
    "Header",
    "Headers",
    "JSONResponse",
    "Loop",
    "MutableHeaders",
    "Path",
    "PlainTextResponse",
    "Query",
    "QueryParams",
    "RedirectResponse",
    "Request",
    "RequestValidationError",
    "Response",
    "ResponseValidationError",
    "RouteWarning",
    "Router",
    "Security",
    "Server",
    "ServerSentEvent",
    "Starlette",
    "State",
    "StreamingResponse",
    "UploadFile",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketRequestValidationError",
    "WebSocketState",
    "jsonable_encoder",
    "run",
    "run_async",
    "serve",
]

early.imported()


def __getattr__(name: str) -> object:
    """`fluvial.GunicornWorker`, for `gunicorn -k`; only then is gunicorn imported."""
    if name == "GunicornWorker":
        from ._serving.gunicorn_worker import GunicornWorker

        return GunicornWorker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
