"""The names that other servers give their options: none of them is left out."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fluvial._serving.cli import main
from fluvial._serving.other_names import ALIASES, IDLE_FLAGS, IDLE_OPTIONS, REFUSED, translate

SERVERS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("other_servers.toml").read_text()
)
OURS = frozenset(
    flag
    for param in main.commands["run"].params
    for flag in (*param.opts, *param.secondary_opts)
    if flag.startswith("-")
) | {"-h", "--help", "--version"}
TABLES = (ALIASES, IDLE_FLAGS, IDLE_OPTIONS, REFUSED)
FLAG = re.compile(r"(?:^|[ /,])(-{1,2}[A-Za-z][\w-]*)")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(*arguments: str) -> tuple[dict[str, Any], str]:
    """The options that don't have their defaults, and what is written to stderr."""
    result = CliRunner().invoke(main, ["config", "--json", *arguments])
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    found = {key: v["value"] for key, v in table.items() if v["origin"] != "default"}
    return found, result.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_every_flag_has_its_place(server: str) -> None:
    for flag in SERVERS[server]["flags"]:
        places = sum(flag in table for table in TABLES)
        assert (flag in OURS) + places == 1, f"{flag} of {server} is in {places} tables"


def test_no_table_has_names_that_nobody_has() -> None:
    known = {flag for server in SERVERS.values() for flag in server["flags"]}
    assert [flag for table in TABLES for flag in table if flag not in known] == []


def test_aliases_lead_to_options_of_ours() -> None:
    assert {ours.partition(" ")[0] for ours in ALIASES.values()} <= OURS


@pytest.mark.parametrize("server", SERVERS)
def test_the_list_is_that_of_the_installed_version(server: str) -> None:
    """Another version, or none, says nothing of the list."""
    try:
        version = importlib.metadata.version(server)
    except importlib.metadata.PackageNotFoundError:
        return
    if version != SERVERS[server]["version"]:
        return
    command = Path(sys.executable).with_name(server)
    text = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    heads = [re.split(r"\s{2,}", line[2:])[0] for line in re.findall(r"^  -\S.*", text, re.M)]
    assert {flag for head in heads for flag in FLAG.findall(head)} == set(SERVERS[server]["flags"])


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-w 2 -b 127.0.0.1:1", {"workers": 2, "bind": ["127.0.0.1:1"]}),
        ("-w2 -t5", {"workers": 2, "worker-timeout": 5}),
        ("--timeout-keep-alive 3", {"keep-alive": 3}),
        ("--timeout-keep-alive=3", {"keep-alive": 3}),
        ("--limit-concurrency 3 --timeout-graceful-shutdown 4", {"limit-in-flight": 3}),
        ("--fd 3", {"bind": ["fd://3"]}),
        ("--interface asgi", {"interface": "asgi3"}),
        ("--interface=asginl", {"interface": "asgi3", "lifespan": "off"}),
        ("--interface wsgi --workers 2", {"interface": "wsgi", "workers": 2}),
        ("--workers-lifetime 1h30m", {"max-lifetime": 5400}),
        ("--workers-lifetime=90", {"max-lifetime": 90}),
        ("--workers-lifetime 2d", {"max-lifetime": 172800}),
        ("--header X-A:b --header c:d", {"header": ["X-A:b", "c:d"]}),
        ("--no-server-header --no-date-header", {"server-header": False, "date-header": False}),
        ("--fd=3", {"bind": ["fd://3"]}),
        ("--no-proxy-headers", {"forwarded-allow-ips": ""}),
        ("--ssl-client-verify --certfile c", {"ssl-cert-reqs": "required", "ssl-certfile": "c"}),
        ("--limit-max-requests 7 --limit-max-requests-jitter 2", {"max-requests": 7}),
        ("--uds s --uds-permissions 600", {"uds": "s", "uds-mode": "600"}),
    ],
)
def test_others_names_mean_the_same(line: str, options: dict[str, Any]) -> None:
    found, said = shown(*line.split())
    assert options.items() <= found.items()
    assert said == ""


def test_what_changes_nothing_is_said() -> None:
    line = "-k uvicorn.workers.UvicornWorker --loop=uvloop --proxy-headers -w 3"
    found, said = shown(*line.split())
    assert found == {"workers": 3}
    assert said.splitlines() == [
        "-k changes nothing: there is one kind of worker",
        "--loop changes nothing: there is one event loop",
        "--proxy-headers changes nothing: --forwarded-allow-ips decides",
    ]


@pytest.mark.parametrize("flag", sorted(REFUSED.keys() - OURS))
def test_what_is_refused_has_its_reason(flag: str) -> None:
    result = CliRunner().invoke(main, ["run", "main:app", flag, "x"])
    assert result.exit_code == 2
    assert f"there is no {flag}: {REFUSED[flag]}" in " ".join(result.stderr.split())


def test_values_that_mean_nothing_here() -> None:
    result = CliRunner().invoke(main, ["run", "main:app", "--interface", "rsgi"])
    assert (result.exit_code, "it is granian's own" in result.stderr) == (2, True)
    result = CliRunner().invoke(main, ["run", "main:app", "--workers-lifetime", "soon"])
    assert (result.exit_code, "'soon' is not a valid float" in result.stderr) == (2, True)


def test_what_follows_two_hyphens_is_left_alone() -> None:
    assert translate(["-w", "--", "-w"], OURS, print) == ["--workers", "--", "-w"]


def test_a_key_of_a_file_is_answered_with_ours(tmp_path: Path) -> None:
    (tmp_path / "fluvial.toml").write_text("timeout-keep-alive = 5\n")
    result = CliRunner().invoke(main, ["config"])
    assert "unknown key 'timeout-keep-alive'; write 'keep-alive'" in result.stderr


def test_a_configuration_in_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\n")
    result = CliRunner().invoke(main, ["config", "-c", "gunicorn.conf.py"])
    words = "Error: gunicorn.conf.py is Python: write the options in TOML, by our names\n"
    assert result.stderr == words
