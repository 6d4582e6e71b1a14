"""Generators that have yielded a dependency, and are resumed at its end.

What contextlib's ExitStack does with its context managers of generators, without an object for each
of them while nothing fails. As soon as something does, contextlib takes over.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any


class Generators:
    """Ends those that were entered in reverse order, when its `with` statement ends or by
    `close`."""

    __slots__ = ("_entered",)

    def __init__(self, entered: list[Generator[Any, None, None]] | None = None) -> None:
        self._entered = [] if entered is None else entered

    def enter(self, generator: Generator[Any, None, None]) -> Any:
        """What the generator yields. Raises: RuntimeError when it ends without that."""
        try:
            value = next(generator)
        except StopIteration:
            raise RuntimeError("generator didn't yield") from None
        self._entered.append(generator)
        return value

    def pop_all(self) -> Generators:
        """Another object that is to end them, in place of this one."""
        moved = Generators(self._entered)
        self._entered = []
        return moved

    def close(self) -> None:
        """Ends them. What one raises is thrown into those that were entered before it."""
        entered = self._entered
        while entered:
            generator = entered.pop()
            try:
                next(generator)
            except StopIteration:
                continue
            except BaseException as exc:
                if not self._as_stack().__exit__(type(exc), exc, exc.__traceback__):
                    raise
                return
            with self._as_stack():
                _refuse_to_go_on(generator)

    def __enter__(self) -> Generators:
        return self

    def __exit__(self, *exc_info: Any) -> bool | None:
        if exc_info[0] is None:
            self.close()
            return None
        return self._as_stack().__exit__(*exc_info)

    def _as_stack(self) -> ExitStack:
        """Those that are left, as contextlib has them once they are entered."""
        stack = ExitStack()
        for generator in self._entered:
            stack.push(_as_manager(generator))
        self._entered = []
        return stack


def _as_manager(generator: Generator[Any, None, None]) -> Any:
    return contextmanager(lambda: generator)()


def _refuse_to_go_on(generator: Generator[Any, None, None]) -> None:
    """For one that has yielded twice; up to 3.11 contextlib doesn't close it."""
    try:
        raise RuntimeError("generator didn't stop")
    finally:
        generator.close()
