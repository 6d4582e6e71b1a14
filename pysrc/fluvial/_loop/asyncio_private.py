"""asyncio's private functions and classes, under names of ours (ADR 22).

No other file reaches into asyncio's modules for a name with an underscore. What `private_names.py`
lists besides these are methods and attributes: those that asyncio's code looks for on a loop, a
transport or a handle, and those that our classes inherit. A name that a version of Python lacks is
selected here by `sys.version_info`. Functions are looked up in asyncio's modules at each call:
debuggers and tests replace them there.
"""

from __future__ import annotations

import _asyncio
import asyncio
from asyncio import base_events, events, format_helpers, sslproto, tasks, unix_events
from typing import Any

SSLTransportBase = sslproto._SSLProtocolTransport
ChildTransportBase = unix_events._UnixSubprocessTransport  # type: ignore[attr-defined]


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread."""
    return events._get_running_loop()


def set_running_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Makes `loop` the one that runs in this thread.

    C's tasks ask C's account of it, and since 3.14 refuse to run where that has no loop, whatever
    function was put into asyncio.
    """
    _asyncio._set_running_loop(loop)
    if events._set_running_loop is not _asyncio._set_running_loop:
        events._set_running_loop(loop)


def literal_address(*of: Any) -> Any:
    """What getaddrinfo() gives for an IP address; None for a name."""
    return base_events._ipaddr_info(*of)  # type: ignore[attr-defined]


def transport_context(server_side: bool, server_hostname: str | None) -> Any:
    """The SSLContext that asyncio makes where the user has given True."""
    return sslproto._create_transport_context(server_side, server_hostname)


def warn_of_slow(shown: str, seconds: float) -> None:
    """Logs as asyncio does what has held up the loop."""
    base_events.logger.warning("Executing %s took %.3f seconds", shown, seconds)  # type: ignore[attr-defined]


def describe_callback(handle: Any) -> str:
    """The callback of a handle and where it is defined, as asyncio's messages show it."""
    source: str = format_helpers._format_callback_source(handle._callback, handle._args)
    return source


def describe_handle(handle: Any) -> str:
    """A handle, or the task whose step it is, as asyncio's messages show it."""
    shown: str = base_events._format_handle(handle)  # type: ignore[attr-defined]
    return shown


def is_signal_handler(handler: Any) -> bool:
    """Whether `handler` is what add_signal_handler() gives to signal.signal()."""
    return handler is unix_events._sighandler_noop  # type: ignore[attr-defined]


def is_runners_handler(handler: Any) -> bool:
    """Whether `handler` is what asyncio.Runner sets for SIGINT."""
    function = getattr(getattr(handler, "func", None), "__func__", None)
    return function is asyncio.Runner._on_sigint  # type: ignore[attr-defined]


def forget_task(task: asyncio.Task[Any]) -> None:
    """Takes a task that doesn't end out of asyncio.all_tasks(). Its destruction isn't reported."""
    tasks._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
