"""The lifespan protocol: start, end, and apps that take no part."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._serving.server import StartError
from support import forked
from support.asgi import Notes, body, start
from support.forked import FLUVIAL
from support.serving import serving

if TYPE_CHECKING:
    from conftest import Serve


class App:
    """Answers requests; tells what its lifespan gets, and sends what the test says."""

    def __init__(self, *messages: Any) -> None:
        self.messages = messages
        self.notes = Notes()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.notes.add(scope)
            await self.lifespan(scope, receive, send)
        else:
            self.notes.add("request")
            await send(start())
            await send(body())

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.messages:
            self.notes.add(await receive())
            await send(message)


COMPLETE = ({"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"})


def test_start_and_end() -> None:
    app = App(*COMPLETE)
    with serving(app) as served:
        served.client.get("/")
    scope = app.notes.next()
    assert scope == {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": {},
    }
    assert app.notes.next() == {"type": "lifespan.startup"}
    assert app.notes.next() == "request"
    assert app.notes.next() == {"type": "lifespan.shutdown"}
    assert app.notes.empty()


class Raises(App):
    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("http only")


class Returns(App):
    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        return


@pytest.mark.parametrize(
    ("app", "reason"), [(Raises(), ": ValueError: http only"), (Returns(), "")]
)
def test_apps_without(
    serve: Serve, caplog: pytest.LogCaptureFixture, app: App, reason: str
) -> None:
    caplog.set_level(logging.INFO, "fluvial")
    assert serve(app).client.get("/").status_code == 200
    assert f"The app does not support the lifespan protocol{reason}" in caplog.messages


@pytest.mark.parametrize("app", [Raises(), Returns()])
def test_apps_without_that_must_have_one(caplog: pytest.LogCaptureFixture, app: App) -> None:
    with pytest.raises(StartError), serving(app, lifespan="on"):
        pass
    assert (
        "the app does not support the lifespan protocol, which --lifespan on requires"
        in caplog.text
    )


def test_switched_off(serve: Serve) -> None:
    app = App()
    assert serve(app, lifespan="off").client.get("/").status_code == 200
    assert app.notes.next() == "request"


@pytest.mark.parametrize(
    ("message", "reason"),
    [({"message": "no database"}, "no database"), ({}, "without a reason")],
)
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_start_that_fails(
    caplog: pytest.LogCaptureFixture, mode: str, message: dict[str, str], reason: str
) -> None:
    app = App({"type": "lifespan.startup.failed", **message})
    with pytest.raises(StartError), serving(app, lifespan=mode):
        pass
    assert caplog.messages[-1] == f"Application startup failed: {reason}"


def test_an_end_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    failed = {"type": "lifespan.shutdown.failed", "message": "still busy"}
    with serving(App(COMPLETE[0], failed)):
        pass
    assert caplog.messages[-1] == "Application shutdown failed: still busy"


def test_an_app_that_raises_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(App):
        async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(COMPLETE[0])
            await receive()
            raise ValueError("mine")

    with serving(Broken()):
        pass
    assert caplog.messages[-1] == "Application shutdown failed: ValueError: mine"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "lifespan.shutdown.complete"}, "expected lifespan.startup.complete or"),
        ({"type": "nonsense"}, "unexpected ASGI message 'nonsense'"),
    ],
)
def test_wrong_messages(serve: Serve, message: Any, error: str) -> None:
    class Wrong(App):
        async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
            await receive()
            with pytest.raises(RuntimeError, match=error):
                await send(message)
            await send(COMPLETE[0])
            with pytest.raises(RuntimeError, match="expected nothing"):
                await send(COMPLETE[0])
            self.notes.add("refused")
            await receive()
            await send(COMPLETE[1])

    app = Wrong()
    serve(app)
    app.notes.next()
    assert app.notes.next() == "refused"


SOURCE = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_the_exit_status_of_a_start_that_fails(tmp_path: Path, workers: int) -> None:
    (tmp_path / "failing.py").write_text(SOURCE)
    command = [FLUVIAL, "run", "failing:app", "--app-dir", str(tmp_path), "--port", "0"]
    done = forked.run(
        [*command, "--workers", str(workers)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "ERROR Application startup failed: no database" in done.stderr
    assert "Traceback" not in done.stderr
