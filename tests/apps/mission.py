"""The routes of the mission tests: quick ones beside ones that take their time."""

import asyncio
import time

from fluvial import App

app = App()


@app.get("/async")
async def read_async():
    return {"type": "async"}


@app.get("/delayed")
async def delayed_response():
    await asyncio.sleep(3)
    return {"message": "Waited 3 seconds"}


@app.get("/blocking")
def blocking_response():
    time.sleep(1)
    return {"message": "Blocked a thread for 1 second"}
