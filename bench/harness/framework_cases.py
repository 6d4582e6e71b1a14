"""The cases of bench/frameworks.py: what frameworks do, beside Fluvial, and the targets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from . import servers
from .cases import Case, Field, Target
from .expect import Expect, Expected
from .load import Load
from .measure import Throughput, memory, start
from .servers import Peers, Server
from .uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FRAMEWORK_SERVERS = ("raw", "fluvial", "fastapi", "granian", "litestar", "blacksheep")
MANY = 1000  # routes
_COLUMNS = ("per_cpu_s", "cpu_us", "user_us", "system_us", "rps", "rss_mib")
_ORDER = {
    "name": "Cup",
    "price": 4.5,
    "tags": ["blue", "small"],
    "address": {"street": "Main Street 1", "city": "Paris"},
}
_BROWSER = {"Origin": "https://shop.example", "Accept-Encoding": "gzip"}
_CORS = {"access-control-allow-origin": "https://shop.example"}
_AGENT = {"User-Agent": "bench"}
_FOUND = {"page": 7, "agent": "bench"}
_KEY = {"X-Token": "fake-super-secret-token"}
_HERO = {"name": "Deadpond", "age": 30, "secret_name": "Dive Wilson"}


class _Makers:
    """Starts a program of apps/ on each of the servers."""

    def __init__(self, taking_part: Field) -> None:
        self._wanted = taking_part.wanted
        self._peers = Peers.install() if self._wanted else None

    def __call__(
        self,
        programs: Mapping[str, str],
        *flags: str,
        env: Mapping[str, str] | None = None,
    ) -> list[Server]:
        """`programs`: by server's name what it serves; `flags` are Fluvial's."""
        return [
            self._make(name, program, flags, env or {})
            for name, program in programs.items()
            if name in self._wanted and self._peers is not None
        ]

    def _make(
        self, name: str, program: str, flags: tuple[str, ...], env: Mapping[str, str]
    ) -> Server:
        assert self._peers is not None
        if name == "raw":
            return servers.raw()
        on = {"fluvial": "fluvial", "fastapi": "uvicorn"}.get(name, "granian")
        server = self._peers.serve(on, program, "asgi")
        command = server.command
        more = flags if on == "fluvial" else ()
        framework = {"FRAMEWORK": "fluvial" if on == "fluvial" else "fastapi"}
        return dataclasses.replace(
            server,
            name=name,
            command=lambda port: [*command(port), *more],
            env={**server.env, **framework, **env},
        )


def _grammar(app: str, *, raw: bool = False) -> dict[str, str]:
    """Of frameworks_app.py."""
    program = f"frameworks_app:{app}"
    found = {"fluvial": program, "fastapi": program, "granian": program}
    return {"raw": "", **found} if raw else found


def _others(app: str, *, blacksheep: bool = True) -> dict[str, str]:
    found = {"litestar": f"litestar_app:{app}"}
    return {**found, "blacksheep": f"blacksheep_app:{app}"} if blacksheep else found


def _case(
    name: str, title: str, of: list[Server], *expected: Expected, connections: int = 64
) -> Case:
    """Requests per second of CPU time; all responses are looked at first."""
    sent = tuple(each.request for each in expected)
    requests = Load(path="/", requests=sent, connections=connections)
    return Case(
        name=name,
        title=title,
        servers=of,
        measure=Throughput(requests),
        warm=requests,
        check=Expect(expected),
        columns=_COLUMNS,
        compare=("raw", "fastapi", "granian", "litestar", "blacksheep"),
        ratio_of="per_cpu_s",
    )


def framework_cases(taking_part: Field) -> list[Case]:
    """All of them, for the servers that take part."""
    make = _Makers(taking_part)
    return [*_plain(make), *_dependencies(make), *_middleware(make), *_sizes(make), _real(make)]


def _plain(make: _Makers) -> Iterator[Case]:
    items = Expected("GET", "/items/42?q=river", {"item_id": 42, "q": "river"})
    yield _case(
        "items",
        "an int from the path and an optional str from the query",
        make(_grammar("app", raw=True) | _others("app")),
        items,
    )
    yield _case(
        "model",
        "POST of a model of pydantic's, which is the response",
        make(_grammar("app", raw=True) | _others("app")),
        Expected("POST", "/model", _ORDER, body=_ORDER),
    )
    yield _case(
        "struct",
        "the same with a msgspec Struct",
        make({"raw": "", "fluvial": "fluvial_struct:app", "litestar": "litestar_app:app"}),
        Expected("POST", "/struct", _ORDER, body=_ORDER),
    )


def _dependencies(make: _Makers) -> Iterator[Case]:
    for kind, of in (("async", "an async def with three async"), ("def", "a def with three def")):
        yield _case(
            f"{kind}_deps",
            f"{of} dependencies: a query parameter, a header field, both",
            make(_grammar("app") | _others("app", blacksheep=False)),
            Expected("GET", f"/{kind}-dependencies?page=7", _FOUND, headers=_AGENT),
        )


def _middleware(make: _Makers) -> Iterator[Case]:
    plain = {"type": "plain"}
    yield _case(
        "middleware",
        'one @app.middleware("http") that sets a header field',
        make(_grammar("with_middleware") | _others("with_middleware")),
        Expected("GET", "/plain", plain, expected_headers={"x-stamp": "1"}),
    )
    yield _case(
        "cors_gzip",
        "CORS and GZip, a request with Origin, a response too small to compress",
        make(_grammar("with_cors") | _others("with_cors")),
        Expected("GET", "/plain", plain, headers=_BROWSER, expected_headers=_CORS),
    )


def _sizes(make: _Makers) -> Iterator[Case]:
    for name, number in (("first_route", 0), ("last_route", MANY - 1)):
        yield _case(
            name,
            f"{MANY:,} routes: number {number + 1}",
            make(_grammar("many"), env={"ROUTES": str(MANY)}),
            Expected("GET", f"/things{number}/5?q=a", {"thing_id": 5, "q": "a"}),
        )
    yield Case(
        name="start",
        title=f"{MANY:,} routes: from the start to the first response",
        servers=make(_grammar("many"), env={"ROUTES": str(MANY)}),
        measure=start,
        fresh=True,
        columns=("start_ms", "rss_mib"),
        compare=("fastapi", "granian"),
        ratio_of="start_ms",
    )
    for name, path, kind in (("upload", "/file", "async def"), ("upload_def", "/def-file", "def")):
        yield Case(
            name=name,
            title=f"a form with a file of 20 MB, put on the disk past 1 MiB; {kind}",
            servers=make(_grammar("app")),
            measure=Upload(path),
            columns=("mb_per_cpu_s", "mb_per_s", "user_share", "rss_mib"),
            compare=("fastapi", "granian"),
            ratio_of="mb_per_cpu_s",
        )
    tutorial = servers.fluvial(app="tutorial:app", folder=servers.EXAMPLES)
    yield Case(
        name="memory",
        title="resident memory of the tutorial's app, and per idle connection",
        servers=[tutorial] if make({"fluvial": ""}) else [],
        measure=memory,
        fresh=True,
        columns=("rss_mib", "conn_kib", "threads"),
        timed=False,
    )


def _real(make: _Makers) -> Case:
    """A hundred heroes in ten teams; everything that the program does, but for errors."""
    team = {"name": "Team 4", "headquarters": "Paris", "id": 5}
    hero = {"name": "Hero 4", "age": 4, "team_id": 5, "id": 5}
    some = [{"name": f"Hero {n}", "age": n, "team_id": n % 10 + 1, "id": n + 1} for n in range(10)]
    changed = {"name": "Hero 99", "age": 98, "team_id": 10, "id": 100}
    made = {"name": "Deadpond", "age": 30, "team_id": None}
    token = "token=jessica"
    expected = (
        Expected("GET", f"/?{token}", {"message": "Hello Bigger Applications!"}),
        Expected("GET", f"/heroes/5?{token}", {**hero, "team": team}),
        Expected("GET", f"/heroes/?offset=0&limit=10&{token}", some),
        Expected(
            "GET",
            f"/items/plumbus?{token}",
            {"name": "Plumbus", "item_id": "plumbus"},
            headers=_KEY,
        ),
        Expected("GET", f"/heroes/5?{token}", {**hero, "team": team}),
        Expected("PATCH", f"/heroes/100?{token}", changed, body={"age": 98}),
        Expected("GET", f"/heroes/5?{token}", {**hero, "team": team}),
        Expected("POST", f"/heroes/?{token}", made, body=_HERO),
    )
    of = []
    for name in ("fluvial", "fastapi", "granian"):
        database = servers.WORK / f"heroes-{name}.sqlite"
        of += make({name: "heroes.main:app"}, "--as-fastapi", env={"HEROES": str(database)})
    # SQLAlchemy's pool has 15 connections: more requests at once wait for each other in threads.
    title = "FastAPI's larger tutorial program: SQLModel on SQLite, 8 connections"
    return _case("real", title, of, *expected, connections=8)


def _target(case: str, label: str, bound: float, other: str = "fastapi") -> Target:
    return Target(case=case, label=label, figure="per_cpu_s", bound=bound, relative_to=other)


FRAMEWORK_TARGETS = (
    Target(case="items", label="path and query", figure="rps", bound=0.85, relative_to="raw"),
    Target(
        case="items", label="path and query", figure="user_us", bound=2, at_most=True, unit="µs"
    ),
    Target(case="model", label="POST of a model", figure="rps", bound=0.65, relative_to="raw"),
    _target("model", "POST of a model", 10),
    Target(case="struct", label="POST of a Struct", figure="rps", bound=0.8, relative_to="raw"),
    _target("async_deps", "three async dependencies", 8),
    _target("def_deps", "def with three def dependencies", 15),
    _target("middleware", "one middleware", 6),
    _target("cors_gzip", "CORS and GZip", 6),
    Target(
        case="start",
        label="1,000 routes",
        figure="start_ms",
        bound=0.3,
        at_most=True,
        relative_to="fastapi",
    ),
    Target(case="upload", label="upload", figure="mb_per_cpu_s", bound=2, relative_to="fastapi"),
    Target(
        case="upload_def",
        label="upload, def",
        figure="mb_per_cpu_s",
        bound=2,
        relative_to="fastapi",
    ),
    _target("real", "a real program", 4),
    Target(
        case="memory", label="tutorial app", figure="rss_mib", bound=35, at_most=True, unit="MiB"
    ),
)
