"""The server's user, group and umask, and the file that holds its process's id."""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import pwd
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import Config

log = logging.getLogger("fluvial")

_SECOND = ".2"  # what is added to the name of a second process's file
_LAST_ID = 2**32 - 2  # the next one means "no change"


class IdentityError(Exception):
    """The user can't be switched to, or the file can't be written; the message is one line."""


def user_id(user: str) -> int:
    """The number of a user who is given by name or number.

    Raises: IdentityError when there is none such.
    """
    try:
        if user.isdecimal() and int(user) <= _LAST_ID:
            return int(user)
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise IdentityError(f"there is no user {user!r}") from None


def group_id(group: str) -> int:
    """The number of a group that is given by name or number.

    Raises: IdentityError when there is none such.
    """
    try:
        if group.isdecimal() and int(group) <= _LAST_ID:
            return int(group)
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise IdentityError(f"there is no group {group!r}") from None


def _group_of(config: Config) -> int:
    """The group to run as: the one that is given, the user's own, or -1 for no change."""
    if config.group is not None:
        return group_id(config.group)
    if config.user is None:
        return -1
    uid = user_id(config.user)
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_gid
    raise IdentityError(f"user {config.user} has no entry, and so no group: give one with --group")


def owner_of_sockets(config: Config) -> tuple[int, int]:
    """The owner and the group of a Unix socket's file, as numbers; -1: no change.

    Raises: IdentityError when there is none such.
    """
    user = config.uds_owner or config.user
    uid = -1 if user is None else user_id(user)
    return uid, group_id(config.uds_group) if config.uds_group else _group_of(config)


def ids_of(config: Config) -> tuple[int, int]:
    """The user and the group to run as. Raises: IdentityError when there are none such."""
    gid = _group_of(config)
    uid = os.geteuid() if config.user is None else user_id(config.user)
    return uid, os.getegid() if gid == -1 else gid


def become(config: Config) -> None:
    """Makes this process run as `config.user` and `config.group` for good.

    Raises: IdentityError when there are none such, or when only root may do it.
    """
    uid, gid = ids_of(config)
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    try:
        if name and config.user is not None:
            os.initgroups(name, gid)
        else:
            os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as exc:
        who = ":".join(filter(None, (config.user, config.group)))
        raise IdentityError(f"can't run as {who}: {exc.strerror}; only root may") from exc


@contextlib.contextmanager
def with_umask(mask: int | None) -> Iterator[None]:
    """Sets the process's umask, and restores it on exit."""
    before = None if mask is None else os.umask(mask)
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)


@contextlib.contextmanager
def pid_file(path: str | None, *, second: bool = False) -> Iterator[None]:
    """Keeps this process's id in a file, which is removed on exit if it still holds it.

    With `second` another process has the file as yet, and this one's is PATH.2 until
    `take_pid_file` is called. Raises: IdentityError when the file can't be written, or names
    another process that runs.
    """
    if path is None:
        yield
        return
    pid = os.getpid()
    path = os.path.abspath(path)
    _write_pid(path + _SECOND if second else path, pid)
    try:
        yield
    finally:
        for name in (path, path + _SECOND) if os.getpid() == pid else ():  # not in a worker
            with contextlib.suppress(OSError):
                if _read_pid(name) == pid:
                    os.unlink(name)


def take_pid_file(path: str | None) -> None:
    """Gives this process's PATH.2 the name of the file that another one had."""
    if path is not None:
        try:
            os.replace(path + _SECOND, path)
        except OSError as exc:
            log.error("can't rename %s: %s", path + _SECOND, exc.strerror)


def _read_pid(path: str) -> int:
    """The id in the file; 0 when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(32).strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdecimal() else 0


def _write_pid(path: str, pid: int) -> None:
    try:
        old = _read_pid(path)
        if old not in (0, pid) and _runs(old):
            raise IdentityError(f"{path} names the process {old}, which is running")
        fresh = f"{path}.{pid}"
        with open(fresh, "x", encoding="ascii") as file:
            file.write(f"{pid}\n")
        os.replace(fresh, path)
    except OSError as exc:
        raise IdentityError(f"can't write {path}: {exc.strerror}") from exc


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
