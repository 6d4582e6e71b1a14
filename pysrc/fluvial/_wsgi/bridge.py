"""Serving WSGI apps: what C calls once per app or for rare responses."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from .. import _core
from .._calling.failures import log_unhandled
from .routes import route_of

if TYPE_CHECKING:
    from .._serving.config import Config

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiBridge:
    """A WSGI app as the core serves it.

    `config.root_path` is the prefix that a proxy in front has removed from every path; `prefix` is
    where the app is mounted below it.
    """

    state: None = None  # WSGI has no lifespan

    def __init__(self, app: Wsgi, config: Config, *, prefix: str = "") -> None:
        self.core = _core.WsgiApp(
            app,
            environ=base_environ(
                config.root_path + prefix,
                multithread=config.threads > 1,
                multiprocess=config.workers > 1,
                scheme=config.scheme,
            ),
            prefix=prefix,
            report=_report,
            file_type=FileWrapper,
            file_facts=_file_facts,
            route_of=route_of if config.metrics else None,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does nothing: WSGI has no lifespan."""
        yield


def base_environ(
    script_name: str, *, multithread: bool, multiprocess: bool, scheme: str = "http"
) -> dict[str, Any]:
    """The variables that every environ has; what differs between requests is set later."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": script_name.encode().decode("latin-1"),
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "REQUEST_URI": "",
        "RAW_URI": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        # A Unix socket has neither name nor port, but PEP 3333 allows neither variable to be empty.
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80" if scheme == "http" else "443",
        "SERVER_SOFTWARE": "fluvial",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }


def _report(text: str, exc: BaseException | None) -> None:
    """Logs that the app has not completed the response to a request."""
    log_unhandled(text, exc)


def _file_facts(wrapper: FileWrapper) -> tuple[int, int, int] | None:
    """A wrapped file's descriptor, position and size; None when its descriptor must not be used.

    Objects of types that derive from these, or wrap them, may give bytes other than those that
    their descriptors give.
    """
    file: Any = wrapper.filelike
    raw = file.raw if type(file) is io.BufferedReader else file
    if type(raw) is not io.FileIO:
        return None
    try:
        number = raw.fileno()
        status = os.fstat(number)
        return (number, file.tell(), status.st_size) if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError):
        return None
