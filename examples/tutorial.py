"""The tutorial app: a `def`, an `async def`, and one that takes its time.

fluvial run tutorial:app --app-dir examples
"""

import asyncio

from fluvial import App

app = App()


@app.get("/sync")
def read_sync():
    """Runs in the thread pool."""
    return {"type": "sync"}


@app.get("/async")
async def read_async():
    """Runs on the loop."""
    return {"type": "async"}


@app.get("/delayed")
async def delayed_response():
    """Keeps nobody else waiting."""
    await asyncio.sleep(3)
    return {"message": "Waited 3 seconds"}


@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None):
    """Takes a parameter from the path and one from the query."""
    return {"item_id": item_id, "q": q}
