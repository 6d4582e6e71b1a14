"""Fluvial: a web framework and ASGI server whose core is C on libuv and llhttp."""

from ._application.route_warnings import RouteWarning
from ._background import BackgroundTask, BackgroundTasks
from ._connection import HTTPConnection
from ._datastructures import URL, Headers, MutableHeaders, QueryParams, State
from ._exceptions import (
    ClientDisconnect,
    HTTPException,
    RequestValidationError,
    WebSocketDisconnect,
    WebSocketException,
)
from ._files import FileResponse
from ._loop import Loop, run_async
from ._params import Body, Cookie, Depends, Header, Path, Query
from ._request import Request
from ._responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from ._serving.config import Config
from ._serving.run import run
from ._signature.results import ResponseValidationError
from ._sse import EventSourceResponse, ServerSentEvent
from ._websocket import WebSocket, WebSocketState
from .applications import App
from .encoders import jsonable_encoder

__version__ = "0.1.0"
__all__ = [
    "URL",
    "App",
    "BackgroundTask",
    "BackgroundTasks",
    "Body",
    "ClientDisconnect",
    "Config",
    "Cookie",
    "Depends",
    "EventSourceResponse",
    "FileResponse",
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
    "ServerSentEvent",
    "State",
    "StreamingResponse",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketState",
    "jsonable_encoder",
    "run",
    "run_async",
]
