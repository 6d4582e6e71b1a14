"""A real browser without a window: Debian's Chromium, through its DevTools protocol.

It resolves no names, so that a page that asks another machine for something fails here, too; and
`Page.requests` has the URLs that it asked for.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("chromium", "chromium-headless-shell")
PATIENCE = 60  # seconds, for a machine that does much else
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--remote-debugging-port=0", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)

# Resolves with the expression's value when that is true: now, or after some change of the page.
WAIT = """new Promise((resolve, reject) => {
    const look = () => { let found; try { found = (%s) } catch { return false }
                         if (found) resolve(found); return found }
    if (look()) return
    const timer = setInterval(() => { if (look()) clearInterval(timer) }, 20)
    setTimeout(() => { clearInterval(timer); reject(new Error('not within time')) }, %d)
})"""


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requests: list[str] = []
        for domain in ("Network", "Page", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Goes to `url`; returns before it has loaded."""
        found = self._call("Page.navigate", url=url)
        assert "errorText" not in found, found

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript; of a promise, what it becomes."""
        found = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        return self.evaluate(WAIT % (expression, PATIENCE * 1000))

    def click(self, selector: str, index: int = 0) -> None:
        """Clicks the element once it is there."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        self.wait_for(f"{element} !== undefined")
        self.evaluate(f"{element}.click()")

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE))
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """A page of a browser that keeps its files in `folder`."""
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    command = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    # Not under the sanitizer that a core under test needs (`make asan`).
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr is not None
            url = next(
                found[1]
                for line in process.stderr
                if (found := re.search(r"DevTools listening on ws://([^/]+)/", line))
            )
            with urllib.request.urlopen(f"http://{url}/json/list", timeout=PATIENCE) as answer:
                tabs = json.load(answer)
            tab = next(each for each in tabs if each["type"] == "page")
            with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def is_there() -> bool:
    """Whether this machine has the browser."""
    return any(map(shutil.which, PROGRAMS))
