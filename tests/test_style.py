"""What the compiler and the linters don't see: who knows whom, sizes, first lines of C files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXT = ROOT / "ext"

# What the files of each folder of ext/ may include besides their own. A folder within another one
# is a room of its own.
ROOMS = {
    "base": (),
    "route": ("base",),
    "loop": ("base",),
    "coding": ("base",),
    "pool": ("base", "loop"),
    "net": ("base", "loop"),
    "transport": ("base", "loop", "net"),
    "http": ("base", "loop", "net", "coding"),
    "http/ws": ("base", "loop", "net", "coding", "http"),
    "app/bind": ("base", "route", "http"),
    "app": ("base", "route", "loop", "pool", "net", "http", "app/bind"),
    "app/ws": ("base", "route", "loop", "http", "http/ws", "app/bind", "app"),
    "app/serve": (
        *("base", "route", "loop", "pool", "net", "http", "http/ws"),
        *("app/bind", "app", "app/ws"),
    ),
    "asgi": ("base", "route", "loop", "net", "http", "http/ws", "app", "app/ws"),
    "wsgi": ("base", "route", "loop", "pool", "net", "http", "app"),
    "files": ("base", "loop", "coding", "http", "app"),
}

# What the files of each private package of pysrc/fluvial may import besides their own and _core.
# Public modules, which stand between them, may import what they like without a circle.
PACKAGES = {
    "_loop": (),
    "_calling": ("exceptions",),
    "_validation": ("exceptions",),
    "_messages": ("_calling",),
    "_forms": ("_calling", "_messages", "datastructures", "exceptions"),
    "_signature": (
        *("_calling", "_validation", "_messages", "exceptions", "params", "background"),
        *("datastructures", "requests", "responses", "sse"),
    ),
    "_application": (
        *("_calling", "_validation", "_messages", "_forms", "_signature", "exceptions", "params"),
        *("requests", "datastructures", "encoders", "responses", "websockets"),
    ),
    "_wsgi": ("_calling", "exceptions"),
    "_asgi": (
        *("_calling", "_validation", "_messages", "_application", "_wsgi", "exceptions"),
        *("datastructures", "requests", "responses", "websockets"),
    ),
    "_clients": (),
    "_serving": (
        *("_loop", "_calling", "_validation", "_messages", "_forms", "_application", "_wsgi"),
        *("_asgi", "exceptions"),
        *("requests", "responses", "websockets", "applications", "compat", "__version__"),
        *("middleware", "_clients", "staticfiles"),
    ),
    "_testing": (
        *("_loop", "_calling", "_serving", "datastructures", "exceptions", "requests"),
        "websockets",
    ),
    "_compat": (
        *(
            "_asgi",
            "_calling",
            "_messages",
            "_signature",
            "_validation",
            "concurrency",
            "params",
            "routing",
            "templating",
        ),
        *("_application", "applications", "exceptions", "requests", "responses", "status"),
        *("_starlette", "_wsgi", "datastructures", "middleware", "websockets"),
        *("encoders", "sse"),
    ),
}

C_FILES = sorted(EXT.rglob("*.[ch]"))
PY_FILES = sorted((ROOT / "pysrc").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def includes(path: Path) -> list[str]:
    found = re.findall(r'^[ \t]*#[ \t]*include[ \t]*["<](.+)[">]', path.read_text(), re.MULTILINE)
    return [each for each in found if (EXT / each).is_file()]


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines of the body) of each function; clang-format puts the braces in column 1."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line == "{":
            end = lines.index("}", number)
            head = " ".join(lines[max(0, number - 4) : number])
            found = re.findall(r"(\w+)\(", head)
            yield (found[-1] if found else "?"), end - number - 1


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines without the docstring) of each function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, node.end_lineno - body[0].lineno + 1 if body else 0


def room(path: str) -> str:
    return path.rpartition("/")[0]


@pytest.mark.parametrize("folder", ROOMS)
def test_folders_include_along_the_arrows(folder: str) -> None:
    wrong = [
        f"{name(path)}: {included}"
        for path in sorted((EXT / folder).glob("*.[ch]"))
        for included in includes(path)
        if room(included) not in {folder, *ROOMS[folder]}
    ]
    assert wrong == []


# What is one thing spread over several files, each of which knows others of them.
TOGETHER = (
    "loop/alarm loop/fds loop/handle loop/loop loop/loop_impl loop/ready loop/sockop loop/timers",
    "net/stream net/stream_private",
    "http/conn http/h2 http/h2_conn http/out",
    "http/server_private http/watch",
    "pool/monitor pool/pool pool/pool_shared pool/worker",
)


def include_graph() -> dict[str, set[str]]:
    """For each pair of a .c and a .h file, named without suffix, the other pairs it includes."""
    graph: dict[str, set[str]] = {}
    for path in C_FILES:
        stem = path.relative_to(EXT).with_suffix("").as_posix()
        found = {included.removesuffix(".h") for included in includes(path)}
        graph.setdefault(stem, set()).update(found - {stem})
    return graph


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Whatever `start` includes, at any depth."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        more = graph.get(todo.pop(), set()) - seen
        seen |= more
        todo += more
    return seen


def test_files_form_no_circles_but_those_that_are_one_thing() -> None:
    graph = include_graph()
    reach = {stem: reachable(graph, stem) for stem in graph}
    circles = {
        " ".join(sorted(other for other in reach[stem] if stem in reach.get(other, ())))
        for stem in graph
        if stem in reach[stem]
    }
    assert sorted(circles) == sorted(TOGETHER)


def test_names_that_are_static_occur_in_one_file_only() -> None:
    """So that a search finds one function, and a backtrace says which it was."""
    places: dict[str, set[str]] = {}
    for path in C_FILES:
        if path.suffix == ".c":
            for found in re.findall(
                r"^static [^=;{]*?\b(\w+)\([^;{]*\)\n{", path.read_text(), re.M
            ):
                places.setdefault(found, set()).add(name(path))
    assert len(places) > 1000
    assert {found: where for found, where in places.items() if len(where) > 1} == {}


# Functions are named noun_verb, so none begins with one of these.
VERBS = {
    *("add", "append", "attempt", "begin", "build", "check", "close", "convert", "copy"),
    *("create", "drop", "end", "enter", "expire", "find", "finish", "free", "get", "init"),
    *("install", "leave", "load", "make", "note", "open", "parse", "pause", "put", "raise"),
    *("read", "refuse", "register", "release", "remove", "report", "resume", "set", "skip"),
    *("start", "stop", "store", "strip", "take", "tell", "wait", "write"),
}
# But in these the word is a noun, or part of one.
NOUNS = (
    *("close_code", "close_is_valid", "free_list_", "read_pipe_", "start_check", "start_response"),
    *("stop_guard_", "stop_iteration_", "write_expired", "write_pipe_"),
)


def test_c_functions_are_named_noun_first() -> None:
    """So that a search for a thing's prefix finds all that can be done with it."""
    wrong = [
        f"{name(path)}: {function}()"
        for path in C_FILES
        for function, _ in c_functions(path)
        if function.partition("_")[0] in VERBS and not function.startswith(NOUNS)
    ]
    assert wrong == []


def test_every_c_file_is_in_a_room() -> None:
    places = {room(path.relative_to(EXT).as_posix()) for path in C_FILES}
    assert places == {"", *ROOMS}
    top = {path.name for path in C_FILES if path.parent == EXT}
    assert top == {"module.c", "state.h"}


def test_no_rooms_form_a_circle() -> None:
    TopologicalSorter(ROOMS).prepare()


def test_c_sources_include_python_first() -> None:
    sources = [path for path in C_FILES if path.suffix == ".c"]
    assert [name(path) for path in sources if includes(path)[:1] != ["base/py.h"]] == []


def test_c_files_say_what_they_are_for() -> None:
    """A comment comes first: 3 to 8 lines as a rule, fewer where the file is that simple."""
    wrong = []
    for path in C_FILES:
        text = path.read_text()
        found = re.match(r"/\*.*?\*/", text, re.DOTALL)
        lines = found.group().count("\n") + 1 if found else 0
        least = 1 if text.count("\n") < 60 else 2
        if not least <= lines <= 15:
            wrong.append(f"{name(path)}: {lines} lines")
    assert wrong == []


def test_headers_name_their_thread() -> None:
    """In the first comment: "Thread: any, with the GIL.", "Thread: the loop's." and so on."""
    wrong = []
    for path in C_FILES:
        comment = re.match(r"/\*.*?\*/", path.read_text(), re.DOTALL)
        named = comment and re.search(r"\bThreads?: ", comment.group())
        if path.suffix == ".h" and not named:
            wrong.append(f"{name(path)}: no line 'Thread: ...' in the first comment")
    assert wrong == []


def test_c_files_and_functions_stay_small() -> None:
    files = [name(path) for path in C_FILES if len(path.read_text().splitlines()) > 500]
    functions = [
        f"{name(path)}: {function}() has {lines} lines"
        for path in C_FILES
        for function, lines in c_functions(path)
        if lines > 60
    ]
    assert files + functions == []


def test_python_files_and_functions_stay_small() -> None:
    files = [name(path) for path in PY_FILES if len(path.read_text().splitlines()) > 500]
    functions = [
        f"{name(path)}: {function}() has {lines} lines"
        for path in PY_FILES
        for function, lines in python_functions(path)
        if lines > 30
    ]
    assert files + functions == []


def imports(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """The rooms of fluvial that are imported at run time, whether at once or later."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.level:
            path = [*package[: len(package) - child.level + 1], *(child.module or "").split(".")]
            path = [part for part in path if part]
            yield from [path[0]] if path else [alias.name for alias in child.names]
        yield from imports(child, package)


def rooms_imported() -> dict[str, set[str]]:
    """For each private package and each module beside them what it imports of the others."""
    found: dict[str, set[str]] = {}
    for path in PY_FILES:
        parts = path.relative_to(ROOT / "pysrc/fluvial").with_suffix("").parts
        tree = ast.parse(path.read_text())
        found.setdefault(parts[0], set()).update(imports(tree, parts[:-1]))
    return {place: others - {place, "_core"} for place, others in found.items()}


def test_python_packages_import_along_the_arrows() -> None:
    found = rooms_imported()
    wrong = [
        f"{package}: {other}"
        for package, allowed in PACKAGES.items()
        for other in sorted(found[package] - {*allowed})
    ]
    assert wrong == []
    packages = {path.parent.name for path in (ROOT / "pysrc/fluvial").glob("_*/__init__.py")}
    assert packages == set(PACKAGES)


def test_no_python_packages_form_a_circle() -> None:
    TopologicalSorter(rooms_imported()).prepare()


def test_public_modules_say_what_is_public() -> None:
    modules = [path for path in PY_FILES if path.parent.name == "fluvial" and path.stem[0] != "_"]
    assert [name(path) for path in modules if "\n__all__ = [" not in path.read_text()] == []


# What may end pytest itself, or go on as a second one.
REACHES_PYTEST = {
    *("os.fork", "signal.raise_signal", "signal.setitimer", "signal.alarm"),
    *("signal.pthread_kill", "signal.set_wakeup_fd", "signal.pthread_sigmask"),
}


def reaches_pytest(node: ast.AST) -> bool:
    """Whether this calls one of these, or sends a signal to its own process, now or later."""
    if not isinstance(node, ast.Call):
        return False
    parts = [ast.unparse(part) for part in (node.func, *node.args)]
    kills = "os.kill" in parts and any("os.getpid()" in part for part in parts)
    return kills or parts[0] in REACHES_PYTEST or "get_context('fork')" in ast.unparse(node.func)


def test_signals_and_forks_have_processes_of_their_own() -> None:
    """Else a signal that comes late, or a child that goes on, meets pytest."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "pytest.mark.own_process" not in text:
            wrong += [name(path) for node in ast.walk(ast.parse(text)) if reaches_pytest(node)]
    assert wrong == []


# What has a name in one module of pysrc/, and is to be imported from there.
NAMED = {
    "_messages/header_fields.py": ("!#$%&'*+", r"[^\x00-\x08\x0a-\x1f\x7f]*"),
    "_messages/framing.py": ('"transfer-encoding", "upgrade"', "204, 304)", "204, 205, 304"),
    "_messages/urls.py": ('"-._~" (RFC 3986', "@!$&'()*+,;=\""),
    "_messages/otel.py": ("0.025, 0.05, 0.075, 0.1", 'fastapi.telemetry"\n'),
}


def test_what_has_a_name_is_written_once() -> None:
    texts = {path.relative_to(ROOT / "pysrc/fluvial"): path.read_text() for path in PY_FILES}
    places = {
        word: [path.as_posix() for path, text in texts.items() if word in text]
        for words in NAMED.values()
        for word in words
    }
    assert places == {word: [home] for home, words in NAMED.items() for word in words}


UNSAID = re.compile(r"(?:as|the same)\b|[A-Z]\w+(?:,? or [A-Z]\w+)*$")


def test_docstrings_say_when_something_is_raised() -> None:
    """Not the name of the exception alone, and not where else to look."""
    wrong = []
    for path in sorted((ROOT / "pysrc").rglob("*.py*")):
        text = path.read_text() if path.suffix in (".py", ".pyi") else ""
        for found in re.finditer(r"\bRaises:\s+((?:[^.\"]|\.(?!\s|\"))*)", text):
            if UNSAID.match(" ".join(found[1].split())):
                wrong.append(f"{name(path)}: {found[0]}")
    assert wrong == []
