"""Responses that are looked at before a server is measured: a wrong one is not worth a figure."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .load import LoadFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .process import ServerProcess

_RAW = "raw"  # answers the same whatever is asked


@dataclass(frozen=True, slots=True)
class Expected:
    """A request, and the JSON of its response; of an object there may be more than expected."""

    method: str
    target: str
    json: Any
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expected_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def request(self) -> bytes:
        """As it goes over the wire."""
        content = b"" if self.body is None else json.dumps(self.body).encode()
        fields = {"Host": "127.0.0.1", **self.headers}
        if content:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True, slots=True)
class Expect:
    """Sends each request once."""

    expected: Sequence[Expected]

    def __call__(self, server: ServerProcess) -> None:
        """Raises: LoadFailed when a response is another one."""
        if server.name == _RAW:
            return
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for each in self.expected:
            headers = dict(each.headers)
            content = None if each.body is None else json.dumps(each.body)
            if content is not None:
                headers["Content-Type"] = "application/json"
            connection.request(each.method, each.target, content, headers)
            response = connection.getresponse()
            text = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            if response.status != 200 or not _fits(json.loads(text), each.json):
                raise LoadFailed(f"{server.name}: {each.target}: {response.status} {text!r}")
            if not each.expected_headers.items() <= found.items():
                raise LoadFailed(f"{server.name}: {each.target}: {found}")
        connection.close()


def _fits(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.items() <= found.items()
    return bool(found == expected)
