"""The descriptors 0, 1 and 2, which must never be used for a file that the app opens."""

from __future__ import annotations

import os
import sys
from typing import TextIO, cast

_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def occupy_standard_descriptors() -> None:
    """Opens /dev/null for those that were closed when the process was started (`>&-`).

    Otherwise the first file or socket that is opened would get the number, and with it everything
    that is printed or logged. If a script has already opened a file that got the number, the
    descriptor is left as it is, and only the stream is replaced.
    """
    for fd, (name, flags, mode) in enumerate(_STREAMS):
        used = fd
        if not _is_open(fd):
            _open_null(fd, flags)
        elif getattr(sys, name) is None:
            used = os.open(os.devnull, flags)  # the number is that of a file of the script
        if getattr(sys, name) is None:
            _set_stream(name, used, mode)


def descriptor_of(name: str) -> int:
    """The descriptor of the process's own "stdout" or "stderr"; -1 if there is none."""
    try:
        return cast("int", getattr(sys, f"__{name}__").fileno())
    except (AttributeError, OSError, ValueError):
        return -1


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _open_null(fd: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)  # takes the lowest free number, usually this one
    if opened != fd:
        os.dup2(opened, fd)
        os.close(opened)
    os.set_inheritable(fd, True)


def _set_stream(name: str, fd: int, mode: str) -> None:
    stream = cast("TextIO", open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays open
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
