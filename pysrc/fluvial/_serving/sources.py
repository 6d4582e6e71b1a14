"""Where the options of `fluvial run` have their values from, by strength: the command line, the
environment, the file of --env-file, and fluvial.toml or [tool.fluvial] in pyproject.toml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click

from .addresses import has_unix_socket
from .config import OF_CERTIFICATES, OF_FILES, OF_PARENTS, WAYS, did_you_mean
from .env_file import EnvFileError, read_env_file
from .other_names import ALIASES

PREFIX = "FLUVIAL_"
# What platforms and other servers call them. Weaker than our own name in the same place.
OTHER_NAMES = {
    "port": "PORT",
    "workers": "WEB_CONCURRENCY",
    "forwarded_allow_ips": "FORWARDED_ALLOW_IPS",
}
_FLAG, _ENVIRONMENT, _ENV_FILE, _FILE = 0, 10, 20, 30  # strengths; 0 is the strongest
# What stands between several values in a variable, where these may have spaces and commas.
_SEPARATORS = {**dict.fromkeys(OF_CERTIFICATES, os.pathsep), "header": "\n"}
_FILES = ("fluvial.toml", "pyproject.toml")
# One excludes the others: the stronger source decides which counts.
_PARENT = ("workers", *OF_PARENTS)
_EXCLUSIVE = (WAYS, (("reload",), _PARENT))
_NOTHING: dict[str, tuple[str, ...]] = dict.fromkeys(_PARENT, ("0", "0.0"))
_NOTHING |= {"reload": ("False",), "bind": ("()",), "workers": ("1",), "preload": ("False",)}
# Kubernetes tells programs of a service that is called "fluvial" in FLUVIAL_PORT.
_SERVICE_LINK = re.compile("(tcp|udp|sctp)://")


class Found(NamedTuple):
    """A value, and where it is from. The lower `rank`, the stronger is that place."""

    value: Any
    origin: str
    rank: int


@dataclass
class Settings:
    """The options that some source sets, by their names in Python, and what is wrong with them."""

    found: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, found: Found) -> None:
        """Adds a value, unless there is a stronger one."""
        if name not in self.found or found.rank < self.found[name].rank:
            self.found[name] = found


class Environment:
    """The process's environment, to which the file of --env-file adds what is missing there."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._added: dict[str, str] = {}

    def own(self) -> dict[str, str]:
        """The variables that are from no file."""
        added = self._added
        return {k: v for k, v in self._environ.items() if added.get(k) != v}

    def apply(self, values: Mapping[str, str]) -> None:
        """Sets these variables, and removes those that an earlier call has set."""
        own = self.own()
        for name in self._added.keys() - own.keys():
            del self._environ[name]
        self._added = {name: value for name, value in values.items() if name not in own}
        self._environ.update(self._added)


def key_of(param: click.Parameter) -> str:
    """An option's name in files: that of its flag. The app's is "app"."""
    if isinstance(param, click.Argument):
        return "app"
    return max(param.opts, key=len).lstrip("-")


def read_settings(
    params: Sequence[click.Parameter], given: Mapping[str, Any], environment: Environment
) -> Settings:
    """The values of `params` from all sources; `given` are those of the command line.

    The file of --env-file is added to `environment`, unless there are problems.
    """
    settings = Settings()
    for name, value in given.items():
        settings.add(name, Found(value, "command line", _FLAG))
    own = environment.own()
    _read_environment(params, own, "environment", _ENVIRONMENT, settings)
    _read_file(params, settings)
    values: dict[str, str] = {}
    if (path := _value(settings, "env_file")) is not None:
        try:
            values = read_env_file(path, own)
        except EnvFileError as exc:
            settings.problems.append(str(exc))
        missing = {name: value for name, value in values.items() if name not in own}
        _read_environment(params, missing, path, _ENV_FILE, settings)
    _drop_excluded(settings)
    if not settings.problems:
        environment.apply(values)
    return settings


def _value(settings: Settings, name: str) -> Any:
    found = settings.found.get(name)
    return None if found is None else found.value


# ---- The environment ------------------------------------------------------------------------


def _read_environment(
    params: Sequence[click.Parameter],
    environ: Mapping[str, str],
    where: str,
    rank: int,
    settings: Settings,
) -> None:
    known = set()
    for param in params:
        assert param.name is not None
        ours = PREFIX + key_of(param).upper().replace("-", "_")
        known.add(ours)
        for weaker, variable in enumerate((ours, OTHER_NAMES.get(param.name, ""))):
            text = environ.get(variable, "")
            if not text or (param.name == "port" and _SERVICE_LINK.match(text)):
                continue
            items = _split(param, text)
            if all(_is_right(param, item, f"{where}: {variable}", settings) for item in items):
                value = items if _is_multiple(param) else _as_written(param, text)
                settings.add(param.name, Found(value, f"{where}: {variable}", rank + weaker))
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in known:
            _refuse_typo(variable, known, where, settings)


def _refuse_typo(variable: str, known: set[str], where: str, settings: Settings) -> None:
    """A variable that we don't know may be the program's own, unless it looks like one of ours."""
    bare = {name.removeprefix(PREFIX) for name in known}
    if hint := did_you_mean(variable.removeprefix(PREFIX), bare, likeness=0.75):
        hint = hint.replace("'", f"'{PREFIX}", 1)
        settings.problems.append(f"{where}: there is no variable {variable}{hint}")


def _split(param: click.Parameter, text: str) -> tuple[str, ...]:
    if not _is_multiple(param):
        return (text,)
    if (mark := _SEPARATORS.get(param.name or "")) is not None:
        return tuple(item for item in text.split(mark) if item)
    return tuple(item for item in re.split(r"[\s,]+", text) if item)


def _is_multiple(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.multiple


# ---- Files ----------------------------------------------------------------------------------


def _read_file(params: Sequence[click.Parameter], settings: Settings) -> None:
    path = _value(settings, "config_file")
    if path and (path.endswith(".py") or path.startswith(("python:", "file:"))):
        words = f"{path} is Python: write the options in TOML, by our names"
        settings.problems.append(words)
        return
    try:
        name, table = _load(path) if path else _load_here()
    except OSError as exc:
        settings.problems.append(f"{path} can't be read: {exc.strerror}")
        return
    except (ValueError, TypeError) as exc:  # not TOML, not UTF-8
        settings.problems.append(f"{path}: {exc}" if path else str(exc))
        return
    by_key = {key_of(param): param for param in params if key_of(param) != "config"}
    seen: dict[str, str] = {}
    for written, value in table.items():
        key = written.replace("_", "-")
        if key not in by_key:
            other = ALIASES.get(f"--{key}", "").partition(" ")[0].lstrip("-")
            hint = f"; write {other!r}" if other else did_you_mean(key, by_key)
            settings.problems.append(f"{name}: unknown key {written!r}{hint}")
        elif key in seen:
            settings.problems.append(f"{name}: {seen[key]!r} and {written!r} are the same key")
        else:
            seen[key] = written
            _take(by_key[key], written, value, name, settings)


def _load_here() -> tuple[str, dict[str, Any]]:
    """The first of the files in the working directory that is for us."""
    for name in _FILES:
        try:
            found, table = _load(name)
        except FileNotFoundError:
            continue
        except (ValueError, TypeError) as exc:  # not TOML, not UTF-8
            raise TypeError(f"{name}: {exc}") from None
        if table or name == _FILES[0]:
            return found, table
    return "", {}


def _load(path: str) -> tuple[str, dict[str, Any]]:
    """Raises: OSError, TOMLDecodeError, UnicodeDecodeError; TypeError when it isn't a table."""
    text = Path(path).read_text("utf-8")
    import tomllib  # most servers start without a file, and sooner without this

    if os.path.basename(path) != "pyproject.toml":
        return path, tomllib.loads(text)
    if "fluvial" not in text:  # others' faults in it are not ours
        return path, {}
    table = tomllib.loads(text).get("tool", {}).get("fluvial", {})
    if not isinstance(table, dict):
        raise TypeError("tool.fluvial must be a table")
    return f"{path} [tool.fluvial]", table


def _take(param: click.Parameter, written: str, value: Any, file: str, settings: Settings) -> None:
    where = f"{file}: {written}"
    words, text = _as_text(param, value)
    if words:
        settings.problems.append(f"{where} must be {words}, not {value!r}")
    elif all(_is_right(param, each, where, settings) for each in text):
        assert param.name is not None
        given = tuple(text) if _is_multiple(param) else text[0]
        settings.add(param.name, Found(given, where, _FILE))


def _as_text(param: click.Parameter, value: Any) -> tuple[str, list[str]]:
    """A value of a file as the command line would have it; or what it must be."""
    if _is_multiple(param):
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return "", items
        return "a list of strings", []
    kind = param.type
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if getattr(param, "is_flag", False) or kind is click.BOOL:
        return ("", [str(value)]) if isinstance(value, bool) else ("true or false", [])
    if isinstance(kind, click.FloatRange):
        return ("", [str(value)]) if is_number else ("a number", [])
    if isinstance(kind, click.IntRange):
        is_whole = is_number and value == value // 1
        return ("", [str(int(value))]) if is_whole else ("an integer", [])
    if kind.name == "mode" and is_number:
        return "", [oct(value)]
    if isinstance(value, str) or (is_number and kind.name in ("choice", "workers")):
        return "", [str(value)]
    return "a string", []


def _as_written(param: click.Parameter, text: str) -> str:
    """The text of a variable; "True" or "False" for "1", "off" and other ways to say so."""
    is_flag = getattr(param, "is_flag", False) or param.type is click.BOOL
    return str(param.type.convert(text, param, None)) if is_flag else text


def _is_right(param: click.Parameter, text: str, where: str, settings: Settings) -> bool:
    """Whether the option takes the text; otherwise it is a problem."""
    try:
        param.type.convert(text, param, None)
    except click.UsageError as exc:
        settings.problems.append(f"{where}: {exc.message.strip()}")
        return False
    return True


# ---- What excludes each other ---------------------------------------------------------------


def _drop_excluded(settings: Settings) -> None:
    """Leaves out what a stronger source excludes: a PORT in the environment, say, by --uds."""
    found = settings.found
    for ways in _EXCLUSIVE:
        ranks = {way: min(map(lambda name: _rank(found, name), way)) for way in ways}
        strongest = min(ranks.values())
        for way, rank in ranks.items():
            if rank > strongest:
                for name in way:
                    found.pop(name, None)
    strongest = min(_rank(found, name) for way in WAYS for name in way)
    if not has_unix_socket(_value(settings, "uds"), _value(settings, "bind")):
        for name in OF_FILES:
            if name in found and found[name].rank > strongest:
                del found[name]


def _rank(found: Mapping[str, Found], name: str) -> int:
    """How strong the source of an option is that asks for something."""
    entry = found.get(name)
    if entry is None or str(entry.value) in _NOTHING.get(name, ()):
        return _FILE + 1
    return entry.rank
