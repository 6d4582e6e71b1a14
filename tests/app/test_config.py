"""fluvial.config beside Starlette's."""

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import fluvial.config
import fluvial.datastructures
import pytest
import starlette.config
import starlette.datastructures

BOTH = pytest.mark.parametrize("module", [fluvial.config, starlette.config])
FILE = """
# a comment
NAME = "from the file"
HOSTS=one, "two, three"
DEBUG=true

not a line
SHOUT='FALSE'
"""


def found(function: Any) -> Any:
    try:
        return repr(function())
    except (KeyError, ValueError) as exc:
        return type(exc).__name__


def test_values_are_starlettes(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(FILE)
    asked: list[tuple[Any, ...]] = [
        ("NAME",),
        ("NAME", int),
        ("DEBUG", bool),
        ("SHOUT", bool),
        ("NUMBER", int),
        ("NUMBER", bool),
        ("NUMBER", float, 3),
        ("MISSING",),
        ("MISSING", int),
        ("MISSING", int, 7),
        ("MISSING", int, None),
        ("MISSING", None, "x"),
        ("BAD", bool),
    ]
    for prefix in ("", "APP_"):
        variables = {"NUMBER": "12", "NAME": "from the environment", "BAD": "2", "APP_NUMBER": "1"}
        ours, theirs = (
            module.Config(tmp_path / ".env", variables, env_prefix=prefix)
            for module in (fluvial.config, starlette.config)
        )
        for each in asked:
            assert found(lambda: ours(*each)) == found(lambda: theirs(*each)), each  # noqa: B023


def test_lists_and_secrets() -> None:
    for text in ('a, b, "c, d"', "", "a", ["x", "y"]):
        ours = fluvial.datastructures.CommaSeparatedStrings(text)
        theirs = starlette.datastructures.CommaSeparatedStrings(text)
        assert list(ours) == list(theirs)
        assert (repr(ours), str(ours), len(ours)) == (repr(theirs), str(theirs), len(theirs))
    secret = fluvial.datastructures.Secret("hidden")
    assert repr(secret) == repr(starlette.datastructures.Secret("hidden"))
    assert str(secret) == "hidden"
    assert secret
    assert not fluvial.datastructures.Secret("")


@BOTH
def test_what_was_read_stays(module: ModuleType) -> None:
    variables = {"A": "1", "B": "2"}
    environ = module.Environ(variables)
    environ["B"] = "3"
    assert environ["A"] == "1"
    with pytest.raises(module.EnvironError):
        environ["A"] = "4"
    with pytest.raises(module.EnvironError):
        del environ["A"]
    del environ["B"]
    assert variables == {"A": "1"}
    assert list(environ) == ["A"]


@BOTH
def test_a_file_that_is_not_there(module: ModuleType, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not found"):
        config = module.Config(tmp_path / "nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert config("SURELY_NOT_SET", default="d") == "d"
