"""One JSON route in Flask."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/sync")
def read_sync():
    return {"type": "sync"}
