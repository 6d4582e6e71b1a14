"""Settings from the environment and a file: `Config(".env")("DEBUG", cast=bool, default=False)`."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "CommaSeparatedStrings",
    "Config",
    "Environ",
    "EnvironError",
    "Secret",
    "environ",
    "undefined",
]

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class undefined:
    """Stands for no default."""


class EnvironError(Exception):
    """A variable is changed after it was read, so that some code still uses the old value."""


class Environ(MutableMapping[str, str]):
    """The environment, in which a variable can't be changed once it has been read."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self._read.add(key)
        return self._environ[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._check(key, "set")
        self._environ[key] = value

    def __delitem__(self, key: str) -> None:
        self._check(key, "delete")
        del self._environ[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def _check(self, key: str, what: str) -> None:
        if key in self._read:
            raise EnvironError(f"Can't {what} {key!r} in the environment: it has been read already")


environ = Environ()


class Config:
    """Values of `environ`, or else of the lines KEY=VALUE of `env_file`.

    `env_prefix` comes before each key. A file that isn't there is a UserWarning.
    """

    def __init__(
        self,
        env_file: str | Path | None = None,
        environ: MutableMapping[str, str] = environ,
        env_prefix: str = "",
        encoding: str = "utf-8",
    ) -> None:
        self.environ = environ
        self.env_prefix = env_prefix
        self.file_values: dict[str, str] = {}
        if env_file is None:
            return
        if os.path.isfile(env_file):
            self.file_values = _read(env_file, encoding)
        else:
            warnings.warn(f"Config file '{env_file}' not found.", stacklevel=2)

    def __call__(
        self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined
    ) -> Any:
        """As `get`."""
        return self.get(key, cast, default)

    def get(
        self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined
    ) -> Any:
        """The value, or `default`, by way of `cast`: a type, or any function of one argument.

        For bool, "true", "1", "false" and "0" are values. Raises: KeyError without value and
        default; ValueError when `cast` refuses the value.
        """
        name = self.env_prefix + key
        value = self.environ.get(name, self.file_values.get(name, default))
        if value is undefined:
            raise KeyError(f"Config '{name}' is missing, and has no default.")
        if cast is None or value is None:
            return value
        if cast is bool and isinstance(value, str):
            found = _BOOLEANS.get(value.lower())
            if found is None:
                raise ValueError(f"Config '{name}' has value '{value}'. Not a valid bool.")
            return found
        try:
            return cast(value)
        except (TypeError, ValueError):
            kind = getattr(cast, "__name__", repr(cast))
            raise ValueError(f"Config '{name}' has value '{value}'. Not a valid {kind}.") from None


class Secret:
    """A text that neither a traceback nor a log shows by accident; str() gives it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}('**********')"

    def __str__(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)


class CommaSeparatedStrings(Sequence[str]):
    """The parts of a text such as `a, b, "c, d"`; of a sequence, its items."""

    def __init__(self, value: str | Sequence[str]) -> None:
        if isinstance(value, str):
            splitter = shlex.shlex(value, posix=True)
            splitter.whitespace = ","
            splitter.whitespace_split = True
            self._items = [item.strip() for item in splitter]
        else:
            self._items = list(value)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def __str__(self) -> str:
        return ", ".join(map(repr, self._items))


def _read(file: str | Path, encoding: str) -> dict[str, str]:
    values = {}
    for line in Path(file).read_text(encoding).splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            values[key.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    """The value without the quotes around it, if there are two of a kind."""
    quoted = len(value) > 1 and value[0] in "\"'" and value[0] == value[-1]
    return value[1:-1] if quoted else value
