"""Serving WSGI apps: what C asks of Python once per app or for rare responses."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from .. import _core

if TYPE_CHECKING:
    from .._serving.config import Config

log = logging.getLogger("fluvial")

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiBridge:
    """A WSGI app as the core serves it.

    `config.root_path` is what a proxy in front has taken away from the beginning of every path;
    `prefix` is where the app is mounted below it.
    """

    state: None = None  # apps are not told of start and end

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
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing: WSGI apps are not told of start and end."""
        yield


def base_environ(
    script_name: str, *, multithread: bool, multiprocess: bool, scheme: str = "http"
) -> dict[str, Any]:
    """What all environs have; what differs from request to request is set later."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": script_name.encode().decode("latin-1"),
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "REQUEST_URI": "",
        "RAW_URI": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        # What a Unix socket leaves open; PEP 3333 allows neither to be empty.
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
    """Logs a request that the app has left without a complete response."""
    log.error(text, exc_info=exc)


def _file_facts(wrapper: FileWrapper) -> tuple[int, int, int] | None:
    """A wrapped file's descriptor, position and size; None when it isn't simply a file's bytes.

    Files that derive from these types or wrap them may show other bytes than their descriptors.
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
