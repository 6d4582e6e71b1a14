"""The arena's own programs give the answers that its checks ask for, and wrong ones are found."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, PlainTextResponse, Request
from support.command import serving
from support.serving import serving as serving_in_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.certificate import Certificate

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "scripts")]

from bench.arena import data, table  # noqa: E402
from bench.arena.contenders import CONTENDERS, PROGRAMS  # noqa: E402
from bench.arena.loads import by_http_load  # noqa: E402
from bench.arena.profiles import PROFILES, UPLOAD, Asked, Profile  # noqa: E402
from bench.harness.load import LoadFailed  # noqa: E402
from bench.harness.results import Results  # noqa: E402


@contextmanager
def running(
    app: str, folder: Path, *flags: str, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """One of the arena's Python programs on Fluvial, with the data in `folder`; its port."""
    data.write(folder)
    env = {"ARENA_DATA": str(folder), "FLUVIAL_LIMIT_BODY": str(UPLOAD), **(env or {})}
    with serving(app, *flags, app_dir=PROGRAMS, env=env) as server:
        yield int(server.url.rpartition(":")[2])


@pytest.mark.parametrize(
    ("app", "flags"),
    [("fluvial_app:app", ()), ("fastapi_app:app", ("--as-fastapi",)), ("asgi_app:app", ())],
)
def test_programs_respond_as_the_profiles_expect(
    app: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    with running(app, tmp_path, *flags) as port:
        for profile in PROFILES.values():
            if not (profile.tls or profile.compressed):
                profile.check("fluvial", port)


def test_programs_compress_and_encrypt(tmp_path: Path, certificate: Certificate) -> None:
    told = {
        "FLUVIAL_SSL_CERTFILE": str(certificate.cert),
        "FLUVIAL_SSL_KEYFILE": str(certificate.key),
        "FLUVIAL_COMPRESS": "gzip:1",
    }
    with running("fluvial_app:app", tmp_path, env=told) as port:
        PROFILES["json-tls"].check("fluvial", port)
        dataclasses.replace(PROFILES["json-comp"], tls=True).check("fluvial", port)


def test_our_load_connects_anew_after_so_many_requests() -> None:
    app, clients = App(), set()

    @app.api_route("/baseline11", methods=["GET", "POST"], response_class=PlainTextResponse)
    async def of_client(request: Request) -> str:
        assert request.client is not None
        clients.add(request.client.port)
        return request.method

    requests = [each.wire for each in PROFILES["baseline"].asked]
    with serving_in_process(app) as served:
        port = int(served.url.rpartition(":")[2])
        load = by_http_load("test", requests, connections=2, each=3)
        done = subprocess.run(load.command(port, 1), capture_output=True, text=True, check=True)
    # Three for each; but the kernel may take a port again.
    assert load.count(done.stdout) <= 2 * 3 * len(clients)
    with serving_in_process(App()) as served:
        port = int(served.url.rpartition(":")[2])
        failed = subprocess.run(load.command(port, 1), capture_output=True, text=True, check=False)
    assert (failed.returncode, "404" in failed.stderr) == (1, True)


def test_a_wrong_answer_ends_the_profile() -> None:
    app = App()

    @app.get("/json/{count}")
    async def as_if_the_factor_were_four(count: int) -> dict[str, Any]:
        return data.priced(count, 4)

    right = Asked(target="/json/2?m=4", content=data.priced(2, 4))
    wrong = Asked(target="/json/2?m=3", content=data.priced(2, 3))
    missing = Asked(target="/no", content=b"")
    profile = PROFILES["json"]
    with serving_in_process(app) as served:
        port = int(served.url.rpartition(":")[2])
        dataclasses.replace(profile, asked=[right]).check("fluvial", port)
        for asked, why in ((wrong, "/json/2"), (missing, "404")):
            with pytest.raises(LoadFailed, match=why):
                dataclasses.replace(profile, asked=[right, asked]).check("fluvial", port)


def test_the_data_are_the_same_in_each_run(tmp_path: Path) -> None:
    for run in ("one", "two"):
        data.write(tmp_path / run)
    one, two = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / run).rglob("*.*"))}
        for run in ("one", "two")
    )
    assert one == two
    assert {name: len(one[name]) for name in data.FILES} == data.FILES


def test_profiles_and_targets_name_contenders() -> None:
    for profile in PROFILES.values():
        assert set(profile.contenders) <= CONTENDERS.keys()
        for target in profile.targets:
            assert set(target.others) <= set(profile.contenders)


def test_a_target_is_judged_by_the_best_of_the_others() -> None:
    profile: Profile = PROFILES["json"]
    results = Results()
    for name, figure in (("fluvial", 12.0), ("fasthttp", 20.0), ("actix", 10.0)):
        results.add("json", name, {"cpu_us": figure})
    measured = table.figures([profile], ["fluvial", "fastapi"], results).splitlines()[-1]
    assert [cell.strip() for cell in measured.split("|")[1:-1]] == ["json", "12.0", "-"]
    (row,) = [line for line in table.judged([profile], results).splitlines() if "json" in line]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("json", "≤ 1 x actix", "1.20", "MISSED"),
    ]
