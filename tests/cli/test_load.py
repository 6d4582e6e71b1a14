"""Finding the app that the command line names."""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
from fluvial._asgi.foreign_app import Foreign
from fluvial._serving.load import LoadError, load_app
from support.command import command_of

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from fluvial import App
app = App()
class Holder:
    inner = App()
def make():
    return App()
def make_nothing():
    return None
text = "x"
async def asgi(scope, receive, send): ...
def wsgi(environ, start_response): ...
def asgi2(scope): ...
async def make_async():
    return App()
def make_awaitable():
    return make_async()
def make_of(a, b, c, d, *, e=1):
    return App()
def make_and_exit():
    raise SystemExit("no")
"""

COUNT = 0


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with an app, of a name of its own, in `tmp_path`."""
    global COUNT
    COUNT += 1
    name = f"loaded_{COUNT}"
    (tmp_path / f"{name}.py").write_text(APP)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def test_what_is_found(module: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    app = load_app(f"{module}:app", app_dir=folder)
    assert app is sys.modules[module].app
    assert load_app(f"{module}:Holder.inner", app_dir=folder) is sys.modules[module].Holder.inner
    assert load_app(f"{module}:make", app_dir=folder, factory=True) is not app


@pytest.mark.parametrize(
    ("target", "factory", "message"),
    [
        ("{}", False, "'{}' must be of the form module:attribute, as in {}:app"),
        ("{}:", False, "'{}:' must be of the form module:attribute, as in main:app"),
        (":app", False, "':app' must be of the form module:attribute, as in main:app"),
        ("", False, "'' must be of the form module:attribute, as in main:app"),
        ("./{}.py:app", False, "'./{}.py:app' names a file, not a module: write {}:app"),
        ("./{}:app", False, "'./{}:app' names a file, not a module: write {}:app"),
        ("{}.py:app", False, "'{}.py:app' names a file, not a module: write {}:app"),
        ("{}.py:make", False, "'{}.py:make' names a file, not a module: write {}:make"),
        ("{}.py", False, "'{}.py' names a file, not a module: write {}:app"),
        ("pkg/{}.py:app", False, "'pkg/{}.py:app' names a file, not a module: write pkg.{}:app"),
        (
            *("../x/{}.py:app", False),
            "'../x/{}.py:app' names a file, not a module: write --app-dir ../x {}:app",
        ),
        (
            *("/srv/{}.py:app", False),
            "'/srv/{}.py:app' names a file, not a module: write --app-dir /srv {}:app",
        ),
        (
            *("my app/x.y/{}.py:app", False),
            "'my app/x.y/{}.py:app' names a file, not a module: "
            "write --app-dir 'my app/x.y' {}:app",
        ),
        (".pkg.{}:app", False, "'.pkg.{}:app' is a relative name: write pkg.{}:app"),
        ("..{}:app", False, "'..{}:app' is a relative name: write {}:app"),
        ("{}:ap", False, "module '{}' has no attribute 'ap'; did you mean 'app'?"),
        ("{}:app", True, "{}:app is the app, not a factory: leave out --factory"),
        ("{}:asgi", True, "{}:asgi is the app, not a factory: leave out --factory"),
        ("{}:wsgi", True, "{}:wsgi is the app, not a factory: leave out --factory"),
        (
            *("{}:make_async", True),
            "the factory {}:make_async is async: it must be a plain function (def)",
        ),
        (
            *("{}:make_awaitable", True),
            "the factory {}:make_awaitable returned an awaitable: it must return the app",
        ),
        (
            *("{}:make_of", True),
            "the factory {}:make_of must take no arguments, but it needs a, b, c, d",
        ),
        (
            *("{}:make_and_exit", True),
            "the factory {}:make_and_exit can't make the app: it called sys.exit('no')",
        ),
        ("{}:nope", False, "module '{}' has no attribute 'nope'"),
        ("{}:Holder.nope", False, "module '{}' has no attribute 'Holder.nope'"),
        ("{}:text", False, "{}:text is not an app but an object of type str"),
        (
            *("{}:make", False),
            "{}:make is not an app but an object of type function; is it a factory? "
            "then say --factory",
        ),
        ("{}:text", True, "{}:text is not a factory but an object of type str"),
        (
            "{}:make_nothing",
            True,
            "{}:make_nothing is not an app but an object of type NoneType",
        ),
        ("no_{}:app", False, "there is no module 'no_{}' in {folder} or on sys.path"),
        ("no_{}.sub:app", False, "there is no module 'no_{}.sub' in {folder} or on sys.path"),
    ],
)
def test_what_is_not(module: str, tmp_path: Path, target: str, factory: bool, message: str) -> None:
    with pytest.raises(LoadError) as info:
        load_app(target.format(module), app_dir=str(tmp_path), factory=factory)
    assert str(info.value) == message.format(*[module] * 2, folder=tmp_path)


def test_routes_that_can_not_be_planned(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(
        "from __future__ import annotations\nfrom fluvial import App\napp = App()\n"
        "@app.get('/')\ndef handler(q: Unseen): ...\n"
    )
    with pytest.raises(LoadError, match=r"can't be served: route GET / .*'Unseen' is not defined"):
        load_app(f"{module}:app", app_dir=str(tmp_path))


def test_other_apps(module: str, tmp_path: Path) -> None:
    for name in ("asgi", "wsgi", "asgi2"):
        app = load_app(f"{module}:{name}", app_dir=str(tmp_path))
        assert isinstance(app, Foreign)
        assert app.app is getattr(sys.modules[module], name)
    forced = load_app(f"{module}:asgi2", app_dir=str(tmp_path), interface="asgi3")
    assert isinstance(forced, Foreign)
    assert forced.interface == "asgi3"
    with pytest.raises(LoadError, match=f"{module}:asgi is not a Fluvial app but an object of"):
        load_app(f"{module}:asgi", app_dir=str(tmp_path), interface="fluvial")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("from json import nothing_like_it", "cannot import name 'nothing_like_it' from 'json'"),
    ],
)
def test_imports_that_fail_inside_name_their_cause(
    module: str, tmp_path: Path, line: str, cause: str
) -> None:
    file = tmp_path / f"{module}.py"
    file.write_text(f"import os\n{line}\n")
    with pytest.raises(LoadError) as info:
        load_app(f"{module}:app", app_dir=str(tmp_path))
    assert str(info.value).startswith(f"module '{module}' can't be imported: {cause}")
    assert str(info.value).endswith(f"({file}, line 2)")
    assert "\n" not in str(info.value)


def test_the_users_own_line_is_named(module: str, tmp_path: Path) -> None:
    """Also when the import fails deep inside an installed package."""
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / f"lib_{module}.py").write_text("\n\nimport nowhere_to_be_found\n")
    file = tmp_path / f"{module}.py"
    file.write_text(f"import sys\nsys.path.append({str(library)!r})\nimport lib_{module}\n")
    with pytest.raises(LoadError) as info:
        load_app(f"{module}:app", app_dir=str(tmp_path))
    cause = "No module named 'nowhere_to_be_found'"
    assert str(info.value) == f"module '{module}' can't be imported: {cause} ({file}, line 3)"


def test_a_syntax_error_is_placed(module: str, tmp_path: Path) -> None:
    file = tmp_path / f"{module}.py"
    file.write_text("import sys\ndef f(:\n")
    with pytest.raises(LoadError) as info:
        load_app(f"{module}:app", app_dir=str(tmp_path))
    assert str(info.value).endswith(f"invalid syntax ({file}, line 2)")


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("import nowhere_to_be_found", logging.DEBUG),
        ("def f(:", logging.DEBUG),
        ("1 / 0", logging.ERROR),
        ("import asyncio; raise asyncio.CancelledError", logging.ERROR),
    ],
)
def test_the_traceback_is_in_the_log(
    module: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, level: int
) -> None:
    """It begins with the user's own module: what imports it explains nothing."""
    (tmp_path / f"{module}.py").write_text(f"import os\n{line}\n")
    with (
        caplog.at_level(logging.DEBUG, "fluvial"),
        pytest.raises(LoadError, match=f"module '{module}' can't be imported: .*line 2"),
    ):
        load_app(f"{module}:app", app_dir=str(tmp_path))
    (record,) = caplog.records
    assert record.levelno == level
    assert record.exc_info is not None
    trace = traceback.extract_tb(record.exc_info[2])
    assert all(frame.filename == str(tmp_path / f"{module}.py") for frame in trace)


@pytest.mark.parametrize(
    ("call", "status", "shown"),
    [("4", 4, "4"), ("", 0, ""), ("'no database'", 1, "'no database'"), ("None", 0, "")],
)
def test_a_module_that_exits(
    module: str, tmp_path: Path, call: str, status: int, shown: str
) -> None:
    (tmp_path / f"{module}.py").write_text(f"import sys\nsys.exit({call})\n")
    with pytest.raises(LoadError) as info:
        load_app(f"{module}:app", app_dir=str(tmp_path))
    assert info.value.status == status
    expected = f"module '{module}' can't be imported: it called sys.exit({shown})"
    assert str(info.value) == expected


def test_pydantic_and_click_are_not_imported_for_nothing() -> None:
    code = (
        "import sys; sys.path.insert(0, 'examples'); import tutorial; "
        "print(sorted({'pydantic', 'click', 'email', 'http.cookies'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_server_imports_what_it_needs(tmp_path: Path) -> None:
    """And the garbage collector, which rests while Fluvial is imported, works again."""
    others = {"fluvial._serving.dev", "fluvial._serving.show", "html", "tomllib", "zoneinfo"}
    (tmp_path / "it.py").write_text(
        f"import gc, sys\nprint(gc.isenabled(), sorted({others} & set(sys.modules)))\n"
    )
    command = command_of("it:app", tmp_path)
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout == "True []\n"


def test_pydantic_is_imported_for_what_needs_it() -> None:
    """Scalars and Structs don't, until a request is wrong; a model, a limit or a dict does."""
    code = (
        "import sys, fluvial, msgspec\n"
        "from typing import Annotated\n"
        "class Struct(msgspec.Struct):\n    a: int = 0\n"
        "app = fluvial.App()\n"
        "app.post('/{i}')(lambda i, q=1: None)\n"
        "Many = Annotated[list[int], fluvial.Query()]\n"
        "def handler(i: int, s: Struct, many: Many) -> Struct: ...\n"
        "app.put('/{i}')(handler)\n"
        "print('pydantic' in sys.modules)\n"
        "def limited(q: Annotated[int, fluvial.Query(ge=1)]): ...\n"
        "app.get('/')(limited)\n"
        "print('pydantic' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\nTrue\n"
