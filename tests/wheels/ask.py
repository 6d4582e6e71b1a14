"""Runs in the bare system, in the folder of the wheels: starts `fluvial run` and asks it.

Over HTTP and over TLS: a handler of each kind, and one page of the documentation. Standard library
only. Fails with the server's output when one answer is another one.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

APP = """
from fluvial import App
from pydantic import BaseModel

app = App()


class Item(BaseModel):
    name: str
    price: float = 1.5


@app.get("/thread/{number}")
def in_a_thread(number: int):
    return {"number": number}


@app.post("/task")
async def in_a_task(item: Item):
    return item
"""


def ask(url: str, data: bytes | None = None) -> bytes:
    context = ssl.create_default_context(cafile="cert.pem") if url.startswith("https") else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60, context=context) as response:
        body: bytes = response.read()
        return body


def check(*flags: str) -> None:
    """Starts a server with these flags, asks it and stops it."""
    fluvial = Path(sys.executable).with_name("fluvial")
    command = [fluvial, "run", "app:app", "--port", "0", *flags]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **pipe) as server:  # type: ignore[call-overload]
        lines = []
        try:
            for line in server.stdout:
                lines.append(line)
                if found := re.search(r"https?://[\d.]+:\d+", line):
                    break
            else:
                raise SystemExit("the server ended:\n" + "".join(lines))
            url = found.group()
            assert url.startswith("https") == bool(flags), url
            assert json.loads(ask(url + "/thread/7")) == {"number": 7}
            assert json.loads(ask(url + "/task", b'{"name":"a"}')) == {"name": "a", "price": 1.5}
            assert b"swagger" in ask(url + "/docs")
            print("answered:", url.partition(":")[0])
        finally:
            server.terminate()


if __name__ == "__main__":
    Path("app.py").write_text(APP)
    check()
    check("--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem")
