"""Workers whose parent runs in the background of a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import psutil
from support.command import PATIENCE, command_of

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from fluvial import App

app = App()
"""
# Leads the terminal's session, and starts the command in a group that is not in the foreground.
LEADER = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
os.waitpid(pid, 0)
"""


class Terminal:
    """What a terminal shows."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.text = ""

    def expect(self, pattern: str, count: int = 1) -> None:
        while len(re.findall(pattern, self.text)) < count:
            assert select.select([self._fd], [], [], PATIENCE)[0], self.text
            self.text += os.read(self._fd, 65536).decode()


def test_a_terminal_that_stops_writers_takes_no_worker_away(tmp_path: Path) -> None:
    """Each line of the log brings SIGTTOU about there, which is a command of an operator's, too."""
    (tmp_path / "it.py").write_text(APP)
    main, sub = pty.openpty()
    modes = termios.tcgetattr(sub)
    modes[3] |= termios.TOSTOP
    termios.tcsetattr(sub, termios.TCSANOW, modes)
    command = command_of("it:app", tmp_path, "--workers", "2", "--no-access-log")
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, *command],
        stdin=sub,
        stdout=sub,
        stderr=sub,
        start_new_session=True,
    )
    terminal = Terminal(main)
    try:
        terminal.expect("Fluvial running on", 2)
        (server,) = psutil.Process(leader.pid).children()
        workers = server.children()
        assert len(workers) == 2
        server.send_signal(signal.SIGTTOU)
        terminal.expect("has ended")
        assert terminal.text.count("Received SIGTTOU") == 1
        assert len(server.children()) == 1
        server.send_signal(signal.SIGTERM)
        assert leader.wait(PATIENCE) == 0
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, and so have they
            for process in psutil.Process(leader.pid).children(recursive=True):
                process.kill()
        leader.kill()
        leader.wait()
        os.close(main)
        os.close(sub)
