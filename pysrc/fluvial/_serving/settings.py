"""Commands whose options may also stand in the environment and in files."""

from __future__ import annotations

from typing import Any

import click

from .option_lists import adding
from .other_names import RefusedName, translate
from .sources import Environment, Settings, read_settings

_ENVIRONMENT, _ARGUMENTS, _SETTINGS = (
    f"fluvial.{name}" for name in ("environment", "arguments", "settings")
)
_OPTIONS = (
    click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="TOML file with these options. Default: fluvial.toml, or [tool.fluvial] in "
        "pyproject.toml, in the current folder.",
    ),
    click.option(
        "--env-file",
        metavar="FILE",
        help="File of lines KEY=VALUE for the environment, which has precedence.",
    ),
)


class SettingsError(click.ClickException):
    """What some source says is wrong; one line for each mistake."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def show(self, file: Any = None) -> None:
        """Writes the lines to stderr."""
        for problem in self.problems:
            click.echo(f"Error: {problem}", file=file, err=True)


class ConfiguredCommand(click.Command):
    """A command that reads its options from all sources.

    Raises: `error` when one of them is wrong.
    """

    error: type[SettingsError] = SettingsError

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Gives click what the other sources say as defaults."""
        ctx.meta[_ARGUMENTS] = list(args)
        args = self._in_our_words(ctx, args)
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        if not set(args) & set(ctx.help_option_names):
            named = {each.name for each in self.params}
            own = {name: given[name] for name in given if name in named and _is_set(given[name])}
            environment = ctx.meta.setdefault(_ENVIRONMENT, Environment())
            settings = read_settings(self.params, own, environment)
            if settings.problems:
                raise self.error(settings.problems)
            ctx.meta[_SETTINGS] = settings
            others = {name: f.value for name, f in settings.found.items() if name not in own}
            ctx.default_map = others
        return super().parse_args(ctx, args)

    def _in_our_words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments with our names for what other servers call otherwise."""
        params = self.get_params(ctx)
        own = frozenset(flag for each in params for flag in (*each.opts, *each.secondary_opts))
        try:
            return translate(args, own, lambda words: click.echo(words, err=True))
        except RefusedName as exc:
            raise click.UsageError(str(exc), ctx) from None


def _is_set(value: object) -> bool:
    """Whether an argument was given: click has None or a mark of its own for those that weren't."""
    return isinstance(value, str | bool | list | tuple)


def settings_of(ctx: click.Context) -> Settings:
    """What the sources said when the command was parsed."""
    settings: Settings = ctx.meta[_SETTINGS]
    return settings


def read_again(ctx: click.Context) -> click.Context:
    """A context of the same command line, with what the other sources say now.

    Raises: click.ClickException when that is wrong.
    """
    arguments = list(ctx.meta[_ARGUMENTS])
    return ctx.command.make_context(ctx.info_name, arguments, parent=ctx.parent)


source_options = adding(_OPTIONS)
