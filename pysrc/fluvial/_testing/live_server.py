"""An app on a port, in a thread of this process."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from .._serving.embedded import Server


class LiveServer(Server):
    """The app on a free port of 127.0.0.1, within a `with` block; `url` is its address."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, port=0, access_log=False, graceful_timeout=1.0)

    def start_thread(self) -> None:
        """Starts it. Raises: what the app's startup raises."""
        super().start_thread()
        (self.url,) = self.addresses
        where = urlsplit(self.url)
        self.host, self.port = where.hostname, where.port

    def __str__(self) -> str:
        return self.url
