"""Clean-ups that anyio's cancellation does not interrupt.

asyncio cancels a task once. A cancel scope of anyio cancels it at each await until the scope is
left, so that a clean-up which awaits anything would end there. Where a request is handled within
such a scope, as under other servers or in middleware that has one, clean-ups run shielded.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

_AGAIN = 0.05  # seconds


def current_scope() -> Any:
    """The cancel scope of anyio that the current task is in; None without one.

    anyio has no public name for that. Where the private one is missing, there is no shield.
    """
    backend = sys.modules.get("anyio._backends._asyncio")
    states = getattr(backend, "_task_states", None)
    task = asyncio.current_task()
    state = None if states is None or task is None else states.get(task)
    return getattr(state, "cancel_scope", None)


class Shield:
    """A cancel scope around a request's dependencies, which shields them while they clean up.

    It is entered before them: scopes are left in reverse order, and dependencies may open some.
    """

    __slots__ = ("_scope", "left", "stays")

    def __init__(self) -> None:
        from anyio import CancelScope

        self._scope: Any = CancelScope()
        self._scope.__enter__()
        self.left = False
        self.stays = False  # until the clean-up after the response

    def up(self) -> None:
        """From now on, cancellation waits."""
        self._scope.shield = True

    def leave(self) -> None:
        """Leaves the scope."""
        self.left = True
        self._scope.__exit__(*sys.exc_info())

    def after_response(self, close: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[None]]:
        """Lowers the shield until `close` runs, whose shielded counterpart is returned.

        The scope stays open until then only if a dependency has opened one within it.
        """
        self._scope.shield = False
        self.stays = current_scope() is not self._scope
        if not self.stays:
            self.leave()

        async def shielded() -> None:
            shield = self if self.stays else Shield()
            shield.up()
            try:
                await close()
            finally:
                shield.leave()

        return shielded


class Redelivery:
    """Cancels anew, now and then, what belongs to a cancelled scope.

    anyio cancels only the tasks that are present at that moment. A thread may start an await later;
    that is cancelled here, too.
    """

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_AGAIN, self._look)

    def _look(self) -> None:
        scope = self._scope
        while scope is not None:
            deliver = getattr(scope, "_deliver_cancellation", None)
            if scope.cancel_called and deliver is not None:
                deliver(scope)
            scope = None if scope.shield else getattr(scope, "_parent_scope", None)
        self._timer = self._loop.call_later(_AGAIN, self._look)

    def end(self) -> None:
        """Ends that."""
        self._timer.cancel()


def shield_here() -> Shield | None:
    """A shield, if the current task is in a cancel scope of anyio's."""
    return None if current_scope() is None else Shield()
