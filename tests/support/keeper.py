"""Runs a server for as long as the process that started it lives, however that ends.

A `finally` isn't enough: it doesn't run in a process that is killed, and workers of pytest-xdist
don't come to it either when `make test` is interrupted. So a keeper stands between the two, whose
standard input ends when the owner closes it or is gone.

    python keeper.py SIGNAL FOLDER COMMAND...       what kept() starts
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal


@contextmanager
def kept(
    command: list[Any], folder: Path, *, stop: signal.Signals, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends, as the user who owns `folder`, where its log goes.

    Gives the keeper, which ends early when the server ends by itself. Whatever ends the block, or
    this process: the server gets the signal `stop`, and the folder is removed.
    """
    # A session of its own: what the terminal sends to all of `make test` would end the keeper, too.
    keeper = subprocess.Popen(
        [sys.executable, __file__, str(int(stop)), str(folder), *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    try:
        yield keeper
    finally:
        keeper.stdin.close()
        keeper.wait()


def main(stop: str, folder: str, *command: str) -> None:
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
        found = os.stat(folder)
        owner = {"user": found.st_uid, "group": found.st_gid, "extra_groups": []}
    with Path(folder, "log").open("ab") as log:
        server = subprocess.Popen(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **owner
        )
    ended = os.pidfd_open(server.pid)
    ready, _, _ = select.select([sys.stdin, ended], [], [])
    if ended not in ready:
        server.send_signal(int(stop))
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
