"""HttpArena's profiles: what is asked, what the right answers are, and the targets."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import http.client
import json
import shutil
import ssl
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.harness.load import Load, LoadFailed
from bench.harness.measure import Throughput
from bench.harness.websockets import WebSocketEcho

from . import data
from .loads import by_h2load, by_http_load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.harness.measure import Measure

EVERYBODY = (
    *("fluvial", "as-fastapi", "fastapi", "fastpysgi", "granian"),
    *("fasthttp", "nethttp", "actix", "node", "nginx"),
)
UPLOAD = 20_000_000  # bytes
COMPUTING = tuple(name for name in EVERYBODY if name != "nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request and its response's content: JSON that has to be equal, or bytes.

    `coding` is the content coding that the response has to have.
    """

    target: str
    content: Any
    method: str = "GET"
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)
    coding: str | None = None

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
        content, coding = response.read(), response.headers["Content-Encoding"]
        if response.status != 200 or coding != self.coding or not self._fits(content):
            what = f"{self.method} {self.target}"
            raise LoadFailed(f"{what}: {response.status} {coding} {content[:200]!r}")

    def _fits(self, content: bytes) -> bool:
        if self.coding == "gzip":
            content = gzip.decompress(content)
        found = json.loads(content) if isinstance(self.content, dict) else content
        return bool(found == self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Fluvial's CPU time per request is at most `at_most` of the best of `others`."""

    at_most: float
    others: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One row of the table. `constant` names those that don't compute, which skip the check.

    With `tls`, `compressed` and `http2` the servers are told to do that.
    """

    name: str
    title: str
    asked: Sequence[Asked]
    measure: Measure
    contenders: Sequence[str] = COMPUTING
    constant: Sequence[str] = ()
    targets: Sequence[Target] = ()
    tls: bool = False
    compressed: bool = False
    http2: bool = False

    def check(self, name: str, port: int) -> None:
        """Sends each request twice. Raises: LoadFailed unless all the responses are right."""
        if name in self.constant:
            return
        if self.http2:
            self._check_by_curl(port)
            return
        if self.tls:
            trusting = ssl._create_unverified_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=30, context=trusting
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection):
            for each in [*self.asked, *self.asked]:
                each.check(connection)

    def _check_by_curl(self, port: int) -> None:
        if shutil.which("h2load") is None or shutil.which("curl") is None:
            raise LoadFailed("h2load and curl are needed (Debian: nghttp2-client, curl)")
        for each in self.asked:
            url = f"https://127.0.0.1:{port}{each.target}"
            told = ["curl", "-sk", "--http2", "-w", "%{http_version}", url]
            found = subprocess.run(told, capture_output=True, check=False).stdout
            if found != each.content + b"2":
                raise LoadFailed(f"{each.target} by HTTP/2: {found[:200]!r}")


def _load(asked: Sequence[Asked], *, connections: int = 64, **more: Any) -> Throughput:
    requests = tuple(each.wire for each in asked)
    return Throughput(Load(path="/", requests=requests, connections=connections, **more))


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


def _limited() -> Profile:
    profile = _baseline()
    requests = [each.wire for each in profile.asked]
    return dataclasses.replace(
        profile,
        name="limited-conn",
        title="the same, ten requests on a connection",
        measure=by_http_load("limited", requests, connections=64, each=10),
        contenders=COMPUTING,
        constant=(),
    )


def _json_compressed() -> Profile:
    fields = {"Accept-Encoding": "gzip"}
    asked = [
        dataclasses.replace(each, fields=fields, coding="gzip")
        for each in _json().asked
        if each.content["count"] >= 10  # shorter ones aren't worth it to most
    ]
    return Profile(
        name="json-comp",
        title="10 to 50 items by gzip, level 1",
        asked=asked,
        measure=_load(asked),
        targets=(Target(at_most=1, others=("actix",)), _beats()),
        compressed=True,
    )


def _json_tls() -> Profile:
    profile = _json()
    return dataclasses.replace(
        profile,
        name="json-tls",
        title="the same over TLS",
        measure=_load(profile.asked, scheme="https"),
        contenders=("fluvial", "as-fastapi", "fastapi", "granian", "fasthttp", "nethttp", "node"),
        targets=(
            Target(at_most=1, others=("fasthttp",)),
            Target(at_most=0.5, others=("fastapi", "granian")),
        ),
        tls=True,
    )


def _upload() -> Profile:
    asked = [Asked(target="/upload", content=b"%d" % UPLOAD, method="POST", body=b"x" * UPLOAD)]
    return Profile(
        name="upload",
        title="20 MB, which are counted",
        asked=asked,
        measure=by_http_load("upload", [asked[0].wire], connections=4, each=0),
        contenders=tuple(name for name in COMPUTING if name != "fastpysgi"),  # it has a limit
        targets=(
            Target(at_most=1, others=("fasthttp",)),
            Target(at_most=0.5, others=("fastapi", "granian")),
        ),
    )


def _echo() -> Profile:
    others = ("fastapi", "granian")
    return Profile(
        name="echo-ws",
        title="messages of 64 bytes that come back on WebSockets",
        asked=(),
        measure=WebSocketEcho(64),
        contenders=("fluvial", "as-fastapi", *others, "nethttp"),
        targets=(Target(at_most=1, others=("nethttp",)), Target(at_most=0.5, others=others)),
    )


def _by_http2(profile: Profile, name: str, targets: Sequence[Target]) -> Profile:
    asked = [each for each in profile.asked if each.method == "GET"]
    return dataclasses.replace(
        profile,
        name=name,
        title=f"{profile.title}: GET by HTTP/2, 32 streams on a connection",
        asked=asked,
        measure=by_h2load([each.target for each in asked], connections=4, streams=32),
        contenders=("fluvial", "as-fastapi", "granian", "nethttp", "nginx"),
        targets=targets,
        tls=True,
        http2=True,
    )


def _all() -> Iterator[Profile]:
    yield from (_baseline(), _pipelined(), _limited(), _json(), _json_compressed(), _json_tls())
    yield from (_upload(), _static(), _echo())
    granian = Target(at_most=0.2, others=("granian",))
    yield _by_http2(_baseline(), "baseline-h2", (granian,))
    yield _by_http2(_static(), "static-h2", (Target(at_most=1.2, others=("nginx",)),))


PROFILES = {each.name: each for each in _all()}
