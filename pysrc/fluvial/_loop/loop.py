"""The asyncio event loop: the performance-critical part is in C (`_core.Loop`), the rest is
asyncio's own code."""

from __future__ import annotations

import asyncio
import selectors
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _core
from .asyncio_private import (
    describe_callback,
    describe_handle,
    running_loop,
    set_running_loop,
    warn_of_slow,
)
from .datagrams import DatagramsMixin
from .fork import ForkMixin
from .main_thread import hears_signals
from .names import NamesMixin
from .pipes import PipesMixin
from .processes import ProcessesMixin
from .sock_ops import SocketsMixin
from .streams import StreamsMixin
from .tls import SSLMixin

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _SelectorView:
    """The part of a selector that asyncio's transports use, on top of the loop's add_reader()."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The events for which a file is watched. Raises: KeyError when it is not watched."""
        reader, writer = handles = self._loop._watched(fileobj)
        mask = selectors.EVENT_READ if reader is not None else 0
        if writer is not None:
            mask |= selectors.EVENT_WRITE
        if not mask:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return selectors.SelectorKey(fileobj, fd, mask, handles)

    def get(self, fileobj: Any) -> selectors.SelectorKey | None:
        """As get_key, but returns None for a file that is not watched."""
        try:
            return self.get_key(fileobj)
        except KeyError:
            return None

    def get_map(self) -> _SelectorView:
        """Returns the view itself, because asyncio only calls get() on a selector's map."""
        return self

    def close(self) -> None:
        """Called by asyncio when the loop is closed."""


class Loop(
    _core.Loop,
    StreamsMixin,
    SSLMixin,
    DatagramsMixin,
    ForkMixin,
    NamesMixin,
    PipesMixin,
    ProcessesMixin,
    SocketsMixin,
    asyncio.SelectorEventLoop,
):
    """An asyncio event loop on libuv."""

    _is_whole = False  # whether __init__ has finished

    def __init__(self) -> None:
        super().__init__(_SelectorView(self))
        if sys.version_info < (3, 12) and type(self).call_soon is _core.Loop.call_soon:
            # asyncio's C code looks call_soon up for each step of a task. An instance attribute
            # saves making a bound method every time.
            self.__dict__["call_soon"] = self.call_soon
        self._watch_forks()
        self._init_streams()
        self._is_whole = True

    def __del__(self, *args: Any) -> None:
        # A signal handler may raise anywhere in __init__. _core closes what had been made by then.
        if self._is_whole:
            super().__del__(*args)

    def __repr__(self) -> str:
        return (
            f"<{self.__class__.__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    # -- Running ----------------------------------------------------------------------------

    # nest_asyncio replaces methods of asyncio's loops with ones that work on those loops' queues,
    # unless this attribute exists. Methods it has put into the base class are not used here.
    _nest_patched = True

    def _check_running(self) -> None:
        if self.is_running():
            words = "This event loop is already running"
            if "nest_asyncio" in sys.modules:
                words += "; nest_asyncio can't nest this one: await the coroutine"
            raise RuntimeError(words)
        if running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def run_until_complete(self, future: Any) -> Any:
        """Runs until `future`, or the task of a coroutine, is done; returns its result."""
        self._check_closed()
        self._check_running()
        is_new = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        if is_new:
            future._log_destroy_pending = False  # run_until_complete() raises; no second report
        future.add_done_callback(_stop_loop)
        try:
            self.run_forever()
        except BaseException:
            if is_new and future.done() and not future.cancelled():
                future.exception()  # mark it as retrieved: the exception propagates from here
            raise
        finally:
            future.remove_done_callback(_stop_loop)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def run_forever(self) -> None:
        """Runs until stop() is called."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        wakeup = self._listen_for_signals()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            set_running_loop(self)
            self._run()
        finally:
            self._stopping = False
            self._thread_id = None
            set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)
            if wakeup is not None:
                signal.set_wakeup_fd(wakeup)

    def close(self) -> None:
        """Closes the loop, which must not be running. Calling it again does nothing."""
        super().close()
        self._shut()

    def _listen_for_signals(self) -> int | None:
        """Lets Python's signal handler wake the loop; returns the wake-up fd to restore."""
        if not hears_signals():
            return None
        return signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)

    def _add_callback(self, handle: Any) -> None:
        """Schedules a handle that asyncio made (for a signal)."""
        if not handle._cancelled:
            self.call_soon(handle._run)

    def _callback_failed(self, handle: Any, exc: BaseException) -> None:
        """Called by handles whose callback raised."""
        source = describe_callback(handle)
        context: dict[str, Any] = {
            "message": f"Exception in callback {source}",
            "exception": exc,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _callback_ran(self, handle: Any, seconds: float) -> None:
        """Called after each callback in debug mode."""
        if seconds >= self.slow_callback_duration:
            warn_of_slow(describe_handle(handle), seconds)

    def _code_ran(self, what: Any, name: str | None, seconds: float) -> None:
        """Called in debug mode after code that is not a callback: the first step of a task that was
        started eagerly, or the method `name` of a protocol."""
        if seconds >= self.slow_callback_duration:
            warn_of_slow(repr(what) if name is None else f"<{name}() of {what!r}>", seconds)


def _stop_loop(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
        return  # the exception itself ends run_forever()
    future.get_loop().stop()


def run_async(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Runs a coroutine on a new Loop and returns its result, as `asyncio.run` does."""
    with asyncio.Runner(debug=debug, loop_factory=Loop) as runner:
        return runner.run(main)
