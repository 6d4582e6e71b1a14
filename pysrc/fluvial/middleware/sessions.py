"""Sessions in a signed cookie, of the form that Starlette's have: JSON in Base64, with a time.

The client can read a session, but not change it. Needs itsdangerous: pip install fluvial[sessions].
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Literal

from ..datastructures import MutableHeaders
from ..requests import HTTPConnection

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["Session", "SessionMiddleware"]

_PAST = "expires=Thu, 01 Jan 1970 00:00:00 GMT; "


class SessionMiddleware:
    """Gives requests and WebSockets a `session`, a dict of values that have a JSON form.

    It is kept in the cookie `session_cookie`, which expires after `max_age` seconds (None: with the
    browser). Anyone who knows the `secret_key` can forge sessions.

    Raises: ImportError without itsdangerous.
    """

    def __init__(
        self,
        app: Asgi3,
        secret_key: object,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        try:
            import itsdangerous
        except ImportError as exc:
            raise ImportError(
                "SessionMiddleware needs itsdangerous: pip install fluvial[sessions]"
            ) from exc
        self.app = app
        self.signer = itsdangerous.TimestampSigner(str(secret_key))
        self._bad_signature = itsdangerous.BadSignature
        self.session_cookie = session_cookie
        self.max_age = max_age
        self.path = path
        flags = [f"httponly; samesite={same_site}"]
        flags += ["secure"] if https_only else []
        flags += [f"domain={domain}"] if domain is not None else []
        flags += ["partitioned"] if partitioned else []
        self.security_flags = "; ".join(flags)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        loaded = self._load(scope)
        had_data = loaded is not None
        scope["session"] = session = Session(loaded or {})

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._save(message, scope.get("session", session), had_data)
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    def _load(self, scope: Message) -> dict[str, Any] | None:
        """The session that the cookie holds; None without one, or when it can't be trusted."""
        cookie = HTTPConnection(scope).cookies.get(self.session_cookie)
        if cookie is None:
            return None
        try:
            data = self.signer.unsign(cookie.encode(), max_age=self.max_age)
            loaded = json.loads(b64decode(data))
        except (self._bad_signature, ValueError):
            return None
        return loaded if isinstance(loaded, dict) else None

    def _save(self, message: Message, session: dict[str, Any], had_data: bool) -> None:
        changed = not isinstance(session, Session) or session.modified
        used = changed or session.accessed  # type: ignore[attr-defined]  # a Session then
        if not used:
            return
        headers = MutableHeaders(scope=message)
        headers.add_vary_header("Cookie")
        if changed and session:
            data = self.signer.sign(b64encode(json.dumps(session).encode())).decode()
            age = "" if self.max_age is None else f"Max-Age={self.max_age}; "
            headers.append("set-cookie", self._cookie(data, age))
        elif changed and had_data:
            headers.append("set-cookie", self._cookie("null", _PAST))

    def _cookie(self, data: str, age: str) -> str:
        return f"{self.session_cookie}={data}; path={self.path}; {age}{self.security_flags}"


class Session(dict[str, Any]):
    """A session; knows whether it was read or changed.

    Changes inside a value aren't noticed: assign the value again, or call `mark_modified`.
    """

    accessed = False
    modified = False

    def mark_accessed(self) -> None:
        """Notes that the response depends on the session."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Notes that the session must be saved."""
        self.accessed = self.modified = True

    def __setitem__(self, key: str, value: Any) -> None:
        self.mark_modified()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.mark_modified()
        super().__delitem__(key)

    def __ior__(self, other: Any) -> Session:  # type: ignore[override,misc]  # a Session stays one
        self.mark_modified()
        super().__ior__(other)
        return self

    def clear(self) -> None:
        """Removes all."""
        self.mark_modified()
        super().clear()

    def pop(self, key: str, *default: Any) -> Any:
        """Removes an item, if there is one."""
        if key in self:
            self.mark_modified()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Removes the last item."""
        item = super().popitem()
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The item, which is set unless there is one."""
        if key not in self:
            self.mark_modified()
        return super().setdefault(key, default)

    def update(self, *args: Any, **items: Any) -> None:
        """Sets several items."""
        self.mark_modified()
        super().update(*args, **items)
