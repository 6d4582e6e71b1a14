"""The loop's sub-processes: asyncio's transport, with a pidfd that reports the child's exit.

There is no signal handler and no child watcher, so it works in any thread. If the system has no
pidfds, or no descriptor is left for one, a thread waits for the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from asyncio import unix_events
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

from .asyncio_private import ChildTransportBase

if TYPE_CHECKING:
    import subprocess

_log = logging.getLogger("asyncio")

# What asyncio reports when other code has already collected the child's exit status.
_UNKNOWN_RETURNCODE = 255


class ProcessesMixin(asyncio.SelectorEventLoop):
    """Part of the loop: makes the transport for asyncio's subprocess_exec() and
    subprocess_shell()."""

    def __init__(self, selector: Any = None) -> None:
        self._children: dict[int, _Child] = {}  # the running ones, by pidfd
        super().__init__(selector)

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> asyncio.SubprocessTransport:
        waiter = self.create_future()
        transport = _ChildTransport(
            self,
            protocol,
            args,
            shell,
            stdin,
            stdout,
            stderr,
            bufsize,
            waiter=waiter,
            extra=extra,
            **kwargs,
        )
        try:
            self._watch_child(transport)
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            await transport._gone.wait()  # since 3.14 _wait() doesn't wait for the pipes
            raise
        return transport

    def _watch_child(self, transport: _ChildTransport) -> None:
        child = _Child(self, transport)
        try:
            pidfd = os.pidfd_open(child.pid)
        except (AttributeError, OSError):
            child.wait_in_thread()
            return
        try:
            self._add_reader(pidfd, child.on_exit, pidfd)
        except OSError:
            os.close(pidfd)
            child.wait_in_thread()
            return
        self._children[pidfd] = child

    def _forget_child(self, pidfd: int) -> None:
        del self._children[pidfd]
        self._remove_reader(pidfd)
        os.close(pidfd)

    def close(self) -> None:
        """Closes the loop; children that still run are not waited for."""
        super().close()
        for pidfd in list(self._children):
            self._forget_child(pidfd)


class _Child:
    """A child process whose exit is awaited."""

    def __init__(self, loop: ProcessesMixin, transport: _ChildTransport) -> None:
        self.loop = loop
        self.transport = transport
        self.process: subprocess.Popen[bytes] = transport._proc
        self.pid = self.process.pid

    def on_exit(self, pidfd: int) -> None:
        """Called by the loop when the pidfd reports that the child has exited."""
        try:
            returncode = self.reap(os.WNOHANG)
        except BaseException:
            self.loop._forget_child(pidfd)  # which would report it in each iteration from now on
            raise
        if returncode is None:
            return
        self.loop._forget_child(pidfd)
        # Data that arrived through the pipes in the same iteration is delivered first.
        self.loop.call_soon(self.transport._process_exited, returncode)

    def wait_in_thread(self) -> None:
        name = f"fluvial-waitpid-{self.pid}"
        try:
            threading.Thread(target=self._wait, name=name, daemon=True).start()
        except RuntimeError:  # no thread can be started: kill the child, since none waits for it
            self.process.kill()
            self.loop.call_soon(self.transport._process_exited, self.reap(0))
            raise

    def _wait(self) -> None:
        returncode = self.reap(0)
        try:
            self.loop.call_soon_threadsafe(self.transport._process_exited, returncode)
        except RuntimeError:  # the loop has been closed in the meantime
            _log.warning("%r, which handled pid %d, is closed", self.loop, self.pid)

    def reap(self, flags: int) -> int | None:
        """Collects the child's exit code; None while the child is still running."""
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:
            if self.process.returncode is not None:  # the Popen object has collected it
                return int(self.process.returncode)
            _log.warning(
                "Unknown child process pid %d, will report returncode %d",
                self.pid,
                _UNKNOWN_RETURNCODE,
            )
            returncode = _UNKNOWN_RETURNCODE
        else:
            if pid == 0:
                return None
            returncode = unix_events.waitstatus_to_exitcode(status)
        # Set it at once: the pid may belong to another process now, and must not be signalled.
        self.process.returncode = returncode
        if self.loop.get_debug():
            _log.debug("process %d exited with returncode %d", self.pid, returncode)
        return returncode


class _ChildTransport(ChildTransportBase):
    """asyncio's transport, corrected for being closed, or failing, while it connects its pipes: it
    leaves no pipe open and lets no caller wait forever."""

    _pending_calls: Any  # None once the pipes are connected

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._gone = asyncio.Event()
        super().__init__(*args, **kwargs)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        """Called when the child has exited and its pipes are closed."""
        super()._call_connection_lost(exc)
        self._gone.set()

    async def _connect_pipes(self, waiter: asyncio.Future[None]) -> None:
        await super()._connect_pipes(waiter)
        if self._pending_calls is not None:
            self._give_pipes_up()
        if self._closed:
            for protocol in self._pipes.values():
                protocol.pipe.close()

    def _give_pipes_up(self) -> None:
        """Called when a pipe couldn't be connected: the protocol is never called."""
        self._protocol = asyncio.SubprocessProtocol()
        for fd, pipe in enumerate((self._proc.stdin, self._proc.stdout, self._proc.stderr)):
            if fd in self._pipes and self._pipes[fd] is None:
                del self._pipes[fd]
                pipe.close()
        calls, self._pending_calls = self._pending_calls, None
        for callback, data in calls:
            self._loop.call_soon(callback, *data)

    def send_signal(self, signal: int) -> None:
        """Does nothing once the child's exit is known, as its pid may belong to another process.

        Raises: ProcessLookupError when called after the protocol's connection_lost().
        """
        self._check_proc()
        if self._proc.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(SIGKILL)
