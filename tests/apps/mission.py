"""The routes of the mission tests: quick ones beside ones that take their time."""

import asyncio
import threading

from fluvial import App

app = App()
inside = {"delayed": 0, "blocking": 0}
go_on = asyncio.Event()
go_on_threads = threading.Event()
counting = threading.Lock()


@app.get("/inside")
async def read_inside() -> dict[str, int]:
    """How many calls of each slow handler have begun."""
    return inside


@app.get("/go-on")
async def let_go_on() -> None:
    go_on.set()
    go_on_threads.set()


@app.get("/delayed")
async def delayed_response():
    inside["delayed"] += 1
    await go_on.wait()
    return {"message": "Waited until it might go on"}


@app.get("/blocking")
def blocking_response():
    with counting:
        inside["blocking"] += 1
    go_on_threads.wait()
    return {"message": "Blocked a thread until it might go on"}
