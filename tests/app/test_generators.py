"""Dependencies with yield of a `def` end as contextlib's managers in an ExitStack do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fluvial._signature.generators import Generators

Log = list[str]
Make = Callable[[Log, str], Iterator[str]]


def plain(log: Log, name: str) -> Iterator[str]:
    try:
        yield name
    except BaseException as exc:
        log.append(f"{name} got {exc!r}")
        raise
    finally:
        log.append(f"{name} ends")


def swallowing(log: Log, name: str) -> Iterator[str]:
    try:
        yield name
    except Exception as exc:
        log.append(f"{name} swallows {exc!r}")


def replacing(log: Log, name: str) -> Iterator[str]:
    try:
        yield name
    except Exception as exc:
        log.append(f"{name} replaces {exc!r}")
        raise KeyError(name) from exc


def failing(log: Log, name: str) -> Iterator[str]:
    yield name
    log.append(f"{name} fails")
    raise LookupError(name)


def going_on(log: Log, name: str) -> Iterator[str]:
    with contextlib.suppress(ValueError):
        yield name
    yield name


def stopping(log: Log, name: str) -> Iterator[str]:
    yield name
    raise StopIteration(name)


def never(log: Log, name: str) -> Iterator[str]:
    yield from ()


KINDS: list[Make] = [plain, swallowing, replacing, failing, going_on, stopping, never]


def outcome(enter: Callable[..., Any], makers: list[Make], body: Any) -> list[Any]:
    """What happens: each step, and the exception with all that led to it."""
    log: Log = []
    try:
        enter(log, makers, body)
    except BaseException as exc:
        return [*log, *chain(exc)]
    return [*log, "no exception"]


def chain(exc: BaseException | None) -> list[str]:
    found = []
    while exc is not None and len(found) < 10:
        found.append(f"{exc!r} from {exc.__cause__!r}")
        exc = exc.__context__
    return found


def by_contextlib(log: Log, makers: list[Make], body: Any) -> None:
    with contextlib.ExitStack() as stack:
        for number, make in enumerate(makers):
            log.append(stack.enter_context(contextlib.contextmanager(make)(log, str(number))))
        body()


def by_ours(log: Log, makers: list[Make], body: Any) -> None:
    with Generators() as stack:
        for number, make in enumerate(makers):
            log.append(stack.enter(make(log, str(number))))
        body()


def well() -> None:
    pass


def badly() -> None:
    raise ValueError("body")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("body", [well, badly, interrupted])
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_they_end_as_contextlib_says(first: Make, second: Make, body: Any) -> None:
    makers = [plain, first, second]
    assert outcome(by_ours, makers, body) == outcome(by_contextlib, makers, body)


def test_all_are_moved() -> None:
    log: Log = []
    with Generators() as stack:
        stack.enter(plain(log, "a"))
        stack.enter(failing(log, "b"))
        moved = stack.pop_all()
    assert log == []
    with pytest.raises(LookupError):
        moved.close()
    assert log == ["b fails", "a got LookupError('b')", "a ends"]
    moved.close()
    assert len(log) == 3
