"""HttpArena's profiles: what is asked, what the right answers are, and the targets."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.harness.load import Load, LoadFailed
from bench.harness.measure import Throughput

from . import data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.harness.measure import Measure

EVERYBODY = (
    *("fluvial", "as-fastapi", "fastapi", "fastpysgi", "granian"),
    *("fasthttp", "nethttp", "actix", "node", "nginx"),
)
COMPUTING = tuple(name for name in EVERYBODY if name != "nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request and its response's content: JSON that has to be equal, or bytes."""

    target: str
    content: Any
    method: str = "GET"
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def wire(self) -> bytes:
        """As it is sent."""
        fields = {"Host": "127.0.0.1", **self.fields}
        if self.body:
            fields |= {"Content-Type": "text/plain", "Content-Length": str(len(self.body))}
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    def check(self, connection: http.client.HTTPConnection) -> None:
        """Sends it. Raises: LoadFailed unless the response is right."""
        connection.request(self.method, self.target, self.body or None, dict(self.fields))
        response = connection.getresponse()
        content = response.read()
        found = json.loads(content) if isinstance(self.content, dict) else content
        if response.status != 200 or found != self.content:
            what = f"{self.method} {self.target}"
            raise LoadFailed(f"{what}: {response.status} {content[:200]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Fluvial's CPU time per request is at most `at_most` of the best of `others`."""

    at_most: float
    others: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One row of the table. `constant` names those that don't compute, which skip the check."""

    name: str
    title: str
    asked: Sequence[Asked]
    measure: Measure
    contenders: Sequence[str] = COMPUTING
    constant: Sequence[str] = ()
    targets: Sequence[Target] = ()

    def check(self, name: str, port: int) -> None:
        """Sends each request twice. Raises: LoadFailed unless all the responses are right."""
        if name in self.constant:
            return
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection):
            for each in [*self.asked, *self.asked]:
                each.check(connection)


def _load(asked: Sequence[Asked], *, depth: int = 1, connections: int = 64) -> Throughput:
    requests = tuple(each.wire for each in asked)
    return Throughput(Load(path="/", requests=requests, connections=connections, depth=depth))


def _beats(python: float = 0.5) -> Target:
    return Target(at_most=python, others=("fastapi", "fastpysgi", "granian"))


def _baseline() -> Profile:
    asked = [
        Asked(target="/baseline11?a=13&b=42", content=b"55"),
        Asked(target="/baseline11?a=13&b=42", content=b"75", method="POST", body=b"20"),
    ]
    return Profile(
        name="baseline",
        title="GET and POST with two query parameters",
        asked=asked,
        measure=_load(asked),
        contenders=EVERYBODY,
        constant=("nginx",),
        targets=(Target(at_most=1, others=("fasthttp",)), _beats()),
    )


def _pipelined() -> Profile:
    asked = [Asked(target="/pipeline", content=b"ok")]
    return Profile(
        name="pipelined",
        title="16 requests in one write",
        asked=asked,
        measure=_load(asked, depth=16),
        contenders=EVERYBODY,
        targets=(Target(at_most=1.2, others=("fasthttp",)), _beats()),
    )


def _json() -> Profile:
    asked = [
        Asked(target=f"/json/{count}?m={factor}", content=data.priced(count, factor))
        for count, factor in ((1, 3), (5, 7), (10, 2), (15, 5), (25, 4), (40, 8), (50, 6))
    ]
    return Profile(
        name="json",
        title="1 to 50 items, a total computed for each",
        asked=asked,
        measure=_load(asked),
        targets=(Target(at_most=1, others=("fasthttp", "actix")), _beats()),
    )


def _static() -> Profile:
    asked = [Asked(target=f"/static/{name}", content=data.content(name)) for name in data.FILES]
    nginx = Target(at_most=1.2, others=("nginx",))
    return Profile(
        name="static",
        title="20 files of 4 to 300 KiB",
        asked=asked,
        measure=_load(asked, connections=32),
        contenders=EVERYBODY,
        targets=(nginx, Target(at_most=1 / 1.5, others=("fastpysgi",))),
    )


PROFILES = {each.name: each for each in (_baseline(), _pipelined(), _json(), _static())}
