"""Options that a command gets together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .proxies import split

if TYPE_CHECKING:
    import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def adding(options: Sequence[Decorator]) -> Decorator:
    """A decorator that adds the options to a command, in this order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def split_values(context: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...]:
    """The callback of options that may be repeated, and have lists as values."""
    return split(value)
