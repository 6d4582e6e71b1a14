"""Every type of the core, used as nobody should: made by __new__ alone, initialised twice."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fluvial import _core
from support.core_server import Response, plan, read_all, serving

TYPES = sorted(name for name, value in vars(_core).items() if isinstance(value, type))

# In a process of its own: uses each attribute of an object that __new__ alone has made.
WALK = """
import faulthandler, gc, sys
faulthandler.enable()
import fluvial
from fluvial import _core

cls = getattr(_core, sys.argv[1])
subclasses = [cls, type("Derived", (cls,), {})] if cls.__flags__ & 1 << 10 else [cls]
ARGUMENTS = [(), (None,), (1,), (b"x",), ("x",), ([],), (None, None), (1, 2, 3), (None,) * 5]
SKIPPED = {"_run", "__class__", "__new__", "__init_subclass__", "__subclasshook__"}


def make(kind):
    try:
        return kind.__new__(kind)
    except TypeError:
        return None


def use(thing, name):
    try:
        value = getattr(thing, name)
    except Exception:
        return
    for arguments in ARGUMENTS if callable(value) else ():
        try:
            value(*arguments)
        except Exception:
            pass


made = 0
for kind in subclasses:
    for name in sorted(set(dir(kind)) - SKIPPED):
        thing = make(kind)
        if thing is None:
            break
        made += 1
        use(thing, name)
        use(thing, name)
        for change in (lambda: setattr(thing, name, None), lambda: delattr(thing, name)):
            try:
                change()
            except Exception:
                pass
        use(thing, name)
        del thing
    gc.collect()
print("walked", made)
"""


@pytest.mark.parametrize("name", TYPES)
def test_objects_that_new_alone_has_made(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WALK, name],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("walked")


def make(name: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """An object of that type, and the arguments that it was made of."""
    every: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "Param": ((_core.QUERY, "q", "q"), {}),
        "Plan": ((print,), {"kind": _core.TASK}),
        "AsgiApp": (
            (print,),
            {
                **dict.fromkeys(("root_path", "prefix", "scheme"), ""),
                "extensions": {},
                **dict.fromkeys(("report", "extend", "later", "recover"), print),
                "gone_error": OSError,
            },
        ),
        "WsgiApp": (
            (print,),
            {
                "environ": {},
                "prefix": "",
                **dict.fromkeys(("report", "file_facts"), print),
                "file_type": Path,
            },
        ),
        "Server": (
            (None, _core.Router(), None),
            {
                "app": None,
                "request_type": _core.Request,
                "response_type": Response,
                **dict.fromkeys(
                    ("validation_error", "http_exception", "client_disconnect"), ValueError
                ),
                **dict.fromkeys(("encode", "on_error"), print),
            },
        ),
    }
    args, kwargs = every[name]
    return getattr(_core, name)(*args, **kwargs), args, kwargs


@pytest.mark.parametrize("name", ["Param", "Plan", "AsgiApp", "WsgiApp", "Server"])
def test_objects_are_initialised_once(name: str) -> None:
    thing, args, kwargs = make(name)
    with pytest.raises(RuntimeError, match="already initialised"):
        thing.__init__(*args, **kwargs)
    cls = type(thing)
    with pytest.raises(TypeError):
        cls.__new__(cls)


def test_a_server_that_listens_is_not_closed() -> None:
    server: list[Any] = []

    async def handler(request: Any) -> Response:
        (made,) = (s for s in server if isinstance(s, _core.Server))
        with pytest.raises(RuntimeError, match="has open connections"):
            made.close()
        return Response(b"fine")

    async def look(loop: Any) -> None:
        import gc

        server.extend(s for s in gc.get_objects() if isinstance(s, _core.Server) and is_on(s, loop))
        with pytest.raises(RuntimeError, match=r"the server listens: await drain\(\) or abort\(\)"):
            server[0].close()

    def is_on(made: Any, loop: Any) -> bool:
        import gc

        return any(other is loop for other in gc.get_referents(made))

    with serving(("GET", "/", plan(handler))) as core:
        assert core.loop is not None
        asyncio.run_coroutine_threadsafe(look(core.loop), core.loop).result(30)
        assert core.get("/")[1] == b"fine"


# ---- Files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [100_000, 150_000])
def test_two_send_files_before_either_is_awaited(tmp_path: Path, length: int) -> None:
    """Whatever becomes of the second one, no more bytes go out than the head says."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    found: list[Any] = []

    async def respond(request: Any, sender: Any) -> None:
        with path.open("rb") as file:
            sender.start(200, [], length)
            waits = [sender.send_file(file.fileno(), 0, 100_000) for _ in range(2)]
            for wait in waits:
                try:
                    found.append(await wait)
                except RuntimeError as exc:
                    found.append(str(exc))
                    if length > 100_000:
                        await sender.send(b"x" * (length - 100_000))
            sender.end()

    async def handler(request: Any) -> Response:
        return Response(None, respond=respond)

    with serving(("GET", "/", plan(handler))) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, body = read_all(sock)
    assert found == [100_000, "the response has more bytes than the length given to start()"]
    assert f"content-length: {length}".encode() in head.lower()
    assert len(body) == length


def test_two_send_files_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    found: list[Any] = []

    async def respond(request: Any, sender: Any) -> None:
        with path.open("rb") as file:
            sender.start(200, [], 1_000_000)
            waits = [sender.send_file(file.fileno(), 0, 1_000_000) for _ in range(2)]
            found.extend(await asyncio.gather(*waits, return_exceptions=True))
            sender.end()

    async def handler(request: Any) -> Response:
        return Response(None, respond=respond)

    with serving(("GET", "/", plan(handler))) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        _, body = read_all(sock)
    assert found[0] == 1_000_000
    assert isinstance(found[1], RuntimeError)
    assert len(body) == 1_000_000
