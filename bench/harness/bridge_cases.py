"""The cases of apps that Fluvial serves and didn't shape: ASGI, WSGI, and WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cases import THROUGHPUT, Case, Field, Target
from .load import Load
from .measure import Throughput
from .websockets import IdleWebSockets, WebSocketEcho

if TYPE_CHECKING:
    from .servers import Server

_ECHO = ("cpu_us", "user_us", "system_us", "server_busy", "load_busy")


def bridge_cases(taking_part: Field) -> list[Case]:
    return [*_asgi_cases(taking_part), *_framework_cases(taking_part), *_websockets(taking_part)]


def _asgi_cases(taking_part: Field) -> list[Case]:
    plain = Load(path="/async")
    post, stream = Load(path="/echo", body=10 * 1024), Load(path="/stream", body=1024 * 1024)
    return [
        Case(
            name="asgi",
            title="a bare ASGI callable, GET, 64 connections",
            servers=[
                *taking_part("raw"),
                *taking_part.each("asgi_app:app", "fluvial", "uvicorn", "granian", "fastpysgi"),
            ],
            measure=Throughput(plain),
            warm=plain,
            columns=THROUGHPUT,
            compare=("raw", "granian", "fastpysgi"),
        ),
        Case(
            name="asgi_post",
            title="ASGI, POST of 10 KiB comes back whole",
            servers=taking_part.each("asgi_echo:app", "fluvial", "uvicorn", "granian"),
            measure=Throughput(post),
            warm=post,
            columns=THROUGHPUT,
            compare=("uvicorn", "granian"),
        ),
        Case(
            name="asgi_stream",
            title="ASGI, POST of 1 MiB comes back in pieces",
            servers=taking_part.each("asgi_echo:app", "fluvial", "uvicorn", "granian"),
            measure=Throughput(stream),
            warm=stream,
            columns=THROUGHPUT,
            compare=("uvicorn", "granian"),
        ),
    ]


def _framework_cases(taking_part: Field) -> list[Case]:
    plain, sync = Load(path="/async"), Load(path="/sync")
    return [
        Case(
            name="fastapi",
            title="FastAPI unchanged, 64 connections",
            servers=taking_part.each("fastapi_app:app", "fluvial", "uvicorn", "granian"),
            measure=Throughput(plain),
            warm=plain,
            columns=THROUGHPUT,
            compare=("uvicorn", "granian"),
        ),
        Case(
            name="flask",
            title="Flask, 64 connections",
            servers=taking_part.each(
                "flask_app:app", "fluvial", "gunicorn", "granian", interface="wsgi"
            ),
            measure=Throughput(sync),
            warm=sync,
            columns=THROUGHPUT,
            compare=("gunicorn", "granian"),
        ),
    ]


def _websockets(taking_part: Field) -> list[Case]:
    apps = taking_part.each("asgi_echo:app", "fluvial", "uvicorn", "granian")
    native = taking_part.each("fluvial_ws:app", "fluvial")

    def idle(name: str, title: str, servers: list[Server], *, deflate: bool) -> Case:
        return Case(
            name=name,
            title=title,
            servers=servers,
            measure=IdleWebSockets(deflate=deflate),
            fresh=True,
            columns=("conn_kib",),
            rounds=1,
            timed=False,
        )

    def echo(name: str, title: str, servers: list[Server], size: int) -> Case:
        return Case(
            name=name,
            title=title,
            servers=servers,
            measure=WebSocketEcho(size),
            columns=_ECHO,
            compare=("uvicorn", "granian"),
        )

    return [
        echo("ws_1k", "WebSocket echo by ASGI, 1 KiB of text", apps, 1024),
        echo("ws_1m", "WebSocket echo by ASGI, 1 MiB binary", apps, 1024 * 1024),
        echo("ws_native", "WebSocket echo by @app.websocket, 1 KiB of text", native, 1024),
        idle("ws_idle", "an idle WebSocket by ASGI, no compression", apps, deflate=False),
        idle("ws_idle_deflate", "an idle WebSocket by ASGI, deflate", apps, deflate=True),
        idle("ws_idle_native", "an idle @app.websocket, no compression", native, deflate=False),
    ]


def _ratio(case: str, label: str, other: str, bound: float, figure: str = "rps") -> Target:
    return Target(
        case=case,
        label=label,
        figure=figure,
        bound=bound,
        relative_to=other,
        at_most=figure == "user_us",
    )


def _memory(case: str, label: str, bound: float) -> Target:
    return Target(case=case, label=label, figure="conn_kib", bound=bound, at_most=True, unit="KiB")


BRIDGE_TARGETS = (
    _ratio("asgi", "ASGI GET", "raw", 0.65),
    _ratio("asgi", "ASGI GET", "granian", 1.8),
    _ratio("asgi", "ASGI GET", "fastpysgi", 1.8),
    _ratio("asgi", "ASGI GET", "granian", 0.4, "user_us"),
    _ratio("asgi", "ASGI GET", "fastpysgi", 0.4, "user_us"),
    _ratio("asgi_post", "ASGI POST 10 KiB", "granian", 1.5),
    _ratio("asgi_stream", "ASGI 1 MiB in and out", "granian", 1.2),
    _ratio("fastapi", "FastAPI", "uvicorn", 1.15),
    _ratio("fastapi", "FastAPI", "granian", 1.15),
    _ratio("flask", "Flask", "gunicorn", 1.5),
    _ratio("flask", "Flask", "granian", 1.2),
    _ratio("ws_1k", "WebSocket 1 KiB", "uvicorn", 2),
    _ratio("ws_1k", "WebSocket 1 KiB", "granian", 1.3),
    _ratio("ws_1m", "WebSocket 1 MiB", "uvicorn", 1.5),
    _memory("ws_idle", "idle WebSocket by ASGI", 4),
    _memory("ws_idle_native", "idle WebSocket", 4),
    _memory("ws_idle_deflate", "idle WebSocket, deflate", 64),
)
