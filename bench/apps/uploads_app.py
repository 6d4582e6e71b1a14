"""What bench/uploads.py sends forms to: the same program for Fluvial and for FastAPI."""

from __future__ import annotations

import os
from typing import Any

if os.environ.get("FRAMEWORK") == "fastapi":
    from fastapi import FastAPI, UploadFile

    app: Any = FastAPI()
else:
    from fluvial import App, UploadFile

    app = App()


@app.post("/file")
async def file(file: UploadFile) -> int | None:
    """How large the file is, once it is on the disk."""
    return file.size


@app.post("/def")
def in_thread(file: UploadFile) -> int | None:
    """The same in a thread."""
    return file.size
