"""What is awaited after a response: its background, then its clean-ups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Background = Callable[[], Awaitable[None]]
# What calls an ASGI app for a request, caller(app, request), and returns its response. See
# _asgi/connections.py, which puts it here.
callers: list[Callable[..., Awaitable[Any]]] = []


class AfterResponse:
    """The part of a Response that runs after it has been sent."""

    _background: Background | None = None
    # The backgrounds of handlers and of middleware inside, which run before this layer's own.
    _inner_backgrounds: tuple[Background, ...] = ()
    _cleanups: tuple[Background, ...] = ()
    _calls_itself = False  # its class has a __call__ of its own, which is to send it

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in vars(cls) and not cls.__module__.startswith("fluvial."):
            cls._calls_itself = True

    @property
    def background(self) -> Background | None:
        """What is awaited after the response. Middleware sees and sets one of its own.

        Raises: TypeError, when it is set, for what isn't callable.
        """
        return self._background

    @background.setter
    def background(self, background: Background | None) -> None:
        if background is not None and not callable(background):
            raise TypeError(
                "background is a BackgroundTask, BackgroundTasks or an async function without "
                f"parameters, not {type(background).__name__}"
            )
        self._background = background
        if background is not None:
            self._write_by_itself()

    def run_after(self, background: Background) -> None:
        """Sets `background` unless there is one already.

        Raises: TypeError when it can't be called.
        """
        if self._background is None:
            self.background = background

    def set_background_apart(self) -> None:
        """Keeps the background where the next layer of middleware can't replace it."""
        if self._background is not None:
            self._inner_backgrounds += (self._background,)
            self._background = None

    async def run_backgrounds(self) -> None:
        """Awaits the backgrounds, the innermost first. Raises: what one of them raises."""
        for each in self._inner_backgrounds:
            await each()
        if self._background is not None:
            await self._background()

    def clean_up_after(self, cleanup: Background) -> None:
        """Adds `cleanup`, which is awaited after the response and its background.

        It is awaited even if these fail.
        """
        self._cleanups += (cleanup,)
        self._write_by_itself()

    async def clean_up(self) -> None:
        """Awaits all clean-ups, the last one first, even if some of them fail."""
        if not self._cleanups:
            return
        *rest, last = self._cleanups
        self._cleanups = tuple(rest)
        try:
            await last()
        finally:
            await self.clean_up()

    def take_over(self, other: AfterResponse) -> None:
        """Takes over the backgrounds and clean-ups of `other`, which won't be sent."""
        other.set_background_apart()
        backgrounds, other._inner_backgrounds = other._inner_backgrounds, ()
        cleanups, other._cleanups = other._cleanups, ()
        for each in (*cleanups, *reversed(backgrounds)):
            self.clean_up_after(each)

    def _write_by_itself(self) -> None:
        """Makes C call `respond`, which does all this."""
        raise NotImplementedError
