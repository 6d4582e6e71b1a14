"""Where the options of `fluvial run` have their values from: `fluvial config` tells."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result
from fluvial._serving.cli import main
from fluvial._serving.env_file import EnvFileError, read_env_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which there is no file yet; no variable is set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("FLUVIAL_") or name in ("PORT", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name)
    return tmp_path


def ask(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """What the command says. The environment is as before afterwards."""
    with mock.patch.dict(os.environ):
        return CliRunner().invoke(main, arguments, env=env)


def shown(*arguments: str, env: dict[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    result = ask("config", "--json", *arguments, env=env)
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    return {key: (entry["value"], entry["origin"]) for key, entry in table.items()}


def test_the_stronger_source_counts(folder: Path) -> None:
    (folder / "fluvial.toml").write_text("port = 1\n")
    (folder / "e").write_text("PORT=2\n")
    assert shown()["port"] == (1, "fluvial.toml: port")
    assert shown("--env-file", "e")["port"] == (2, "e: PORT")
    (folder / "e").write_text("PORT=2\nFLUVIAL_PORT=3\n")
    assert shown("--env-file", "e")["port"] == (3, "e: FLUVIAL_PORT")
    env = {"PORT": "4"}
    assert shown("--env-file", "e", env=env)["port"] == (4, "environment: PORT")
    env["FLUVIAL_PORT"] = "5"
    assert shown("--env-file", "e", env=env)["port"] == (5, "environment: FLUVIAL_PORT")
    assert shown("--env-file", "e", "--port", "6", env=env)["port"] == (6, "command line")
    assert shown()["backlog"] == (2048, "default")


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("WEB_CONCURRENCY", "3", "workers", 3),
        ("FLUVIAL_ACCESS_LOG", "false", "access-log", False),
        ("FLUVIAL_RELOAD", "1", "reload", True),
        ("FLUVIAL_BIND", "a:1, [::1]:2", "bind", ["a:1", "[::1]:2"]),
        ("FLUVIAL_WS_ORIGIN", "https://a https://b", "ws-origin", ["https://a", "https://b"]),
        ("FLUVIAL_GRACEFUL_TIMEOUT", "2.5", "graceful-timeout", 2.5),
        ("FLUVIAL_LIMIT_BODY", "7", "limit-body", 7),
        ("FLUVIAL_UMASK", "027", "umask", "027"),
        ("FLUVIAL_APP", "a:b", "app", "a:b"),
        ("FLUVIAL_SSL_KEYFILE_PASSWORD", "s3cret", "ssl-keyfile-password", "***"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8", "forwarded-allow-ips", "10.0.0.0/8"),
        ("FLUVIAL_FORWARDED_ALLOW_IPS", "10.0.0.1", "forwarded-allow-ips", "10.0.0.1"),
    ],
)
def test_every_kind_of_option_may_be_a_variable(
    variable: str, text: str, key: str, value: object
) -> None:
    assert shown(env={variable: text})[key] == (value, f"environment: {variable}")


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("workers = 3", "workers", 3),
        ('workers = "auto"', "workers", None),
        ("access_log = false", "access-log", False),
        ('bind = ["a:1"]', "bind", ["a:1"]),
        ('ws-origin = "same"', "ws-origin", ["same"]),
        ("keep-alive = 2", "keep-alive", 2),
        ("ssl-cert-reqs = 1", "ssl-cert-reqs", "1"),
        ("umask = 0o22", "umask", "022"),
        ('umask = "22"', "umask", "022"),
        ('log-level = "DEBUG"', "log-level", "debug"),
    ],
)
def test_every_kind_of_option_may_be_in_a_file(
    folder: Path, line: str, key: str, value: object
) -> None:
    (folder / "fluvial.toml").write_text(line)
    found, origin = shown()[key]
    assert origin == f"fluvial.toml: {line.partition(' ')[0]}"
    assert value is None or found == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prot = 1", "fluvial.toml: unknown key 'prot'; did you mean 'port'?"),
        ("nonsense = 1", "fluvial.toml: unknown key 'nonsense'"),
        ("config = 'x'", "fluvial.toml: unknown key 'config'"),
        ("port = '1'", "fluvial.toml: port must be an integer, not '1'"),
        ("port = 1.5", "fluvial.toml: port must be an integer, not 1.5"),
        ("port = inf", "fluvial.toml: port must be an integer, not inf"),
        ("port = true", "fluvial.toml: port must be an integer, not True"),
        ("port = 65536", "fluvial.toml: port: 65536 is not in the range 0<=x<=65535."),
        ("keep-alive = '1'", "fluvial.toml: keep-alive must be a number, not '1'"),
        ("keep-alive = nan", "fluvial.toml: keep-alive: 'nan' is not a number."),
        ("reload = 1", "fluvial.toml: reload must be true or false, not 1"),
        ("host = 1", "fluvial.toml: host must be a string, not 1"),
        ("host = ['a']", "fluvial.toml: host must be a string, not ['a']"),
        ("bind = [1]", "fluvial.toml: bind must be a list of strings, not [1]"),
        ("lifespan = 'yes'", "fluvial.toml: lifespan: 'yes' is not one of 'auto', 'on', 'off'."),
        ("keep_alive = 1\nkeep-alive = 1", "'keep_alive' and 'keep-alive' are the same key"),
        ("port =", "fluvial.toml: Invalid value (at end of document)"),
    ],
)
def test_a_wrong_line_of_a_file_is_named(folder: Path, line: str, message: str) -> None:
    (folder / "fluvial.toml").write_text(line)
    for command, status in (("run", 2), ("config", 2), ("check", 1)):
        result = ask(command, "main:app")
        assert result.exit_code == status
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("Error: fluvial.toml: ")
        assert message in result.stderr


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("FLUVIAL_PORT", "x", "environment: FLUVIAL_PORT: 'x' is not a valid integer"),
        ("PORT", "x", "environment: PORT: 'x' is not a valid integer"),
        ("FLUVIAL_RELOAD", "perhaps", "environment: FLUVIAL_RELOAD: 'perhaps' is not a valid"),
        (
            "FLUVIAL_WORKRES",
            "2",
            "environment: there is no variable FLUVIAL_WORKRES; did you mean 'FLUVIAL_WORKERS'?",
        ),
    ],
)
def test_a_wrong_variable_is_named(folder: Path, variable: str, text: str, message: str) -> None:
    result = ask("run", "main:app", env={variable: text})
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}")
    (folder / "e").write_text(f"{variable}={text}\n")
    result = ask("run", "main:app", "--env-file", "e")
    assert result.stderr.startswith(f"Error: {message.replace('environment', 'e')}")
    assert variable not in os.environ


def test_variables_that_only_begin_like_ours_are_the_programs() -> None:
    env = {"FLUVIAL_DATABASE_URL": "x", "FLUVIAL_DEBUG": "1", "FLUVIAL_PORT": "tcp://10.0.0.1:80"}
    assert shown(env=env)["port"] == (8000, "default")


def test_empty_variables_are_not_set() -> None:
    assert shown(env={"FLUVIAL_HOST": "", "PORT": ""})["host"] == ("127.0.0.1", "default")


@pytest.mark.parametrize(
    ("arguments", "file", "env", "key", "gone"),
    [
        (["--uds", "s"], "port = 1", {}, "uds", "port"),
        (["--uds", "s"], "", {"PORT": "1"}, "uds", "port"),
        (["--bind", "a:1"], "uds = 's'\nuds-mode = '600'", {}, "bind", "uds-mode"),
        ([], "bind = ['a:1']", {"PORT": "1"}, "port", "bind"),
        (["--port", "0"], "uds = 's'", {}, "port", "uds"),
        (["--reload"], "workers = 2", {}, "reload", "workers"),
        (["--reload"], "max-rss = 2", {}, "reload", "max-rss"),
        (["--workers", "2"], "reload = true", {}, "workers", "reload"),
    ],
)
def test_a_stronger_source_excludes_what_does_not_go_with_it(
    folder: Path, arguments: list[str], file: str, env: dict[str, str], key: str, gone: str
) -> None:
    (folder / "fluvial.toml").write_text(file)
    found = shown(*arguments, env=env)
    assert found[key][1] != "default"
    assert found[gone][1] == "default"


@pytest.mark.parametrize("text", ["0", "false", "no", "off"])
def test_what_a_variable_switches_off_excludes_nothing(folder: Path, text: str) -> None:
    (folder / "fluvial.toml").write_text("workers = 4\n")
    found = shown(env={"FLUVIAL_RELOAD": text, "FLUVIAL_PRELOAD": text})
    assert found["workers"][0] == 4
    assert (found["reload"][0], found["preload"][0]) == (False, False)


def test_what_does_not_go_together_in_one_source_is_refused(folder: Path) -> None:
    (folder / "fluvial.toml").write_text("bind = ['a:1']\nport = 1\n")
    result = ask("check", "main:app")
    assert "--bind and --port can't be combined" in result.stderr


def test_which_file_is_read(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.fluvial]\nport = 1\n")
    assert shown()["port"] == (1, "pyproject.toml [tool.fluvial]: port")
    (folder / "fluvial.toml").write_text("backlog = 2\n")
    assert shown()["port"] == (8000, "default")
    (folder / "x.toml").write_text("port = 3\n")
    assert shown("--config", "x.toml")["port"] == (3, "x.toml: port")
    assert shown(env={"FLUVIAL_CONFIG": "x.toml"})["port"] == (3, "x.toml: port")
    result = ask("config", "--config", "none.toml")
    assert result.stderr == "Error: none.toml can't be read: No such file or directory\n"


def test_the_projects_file_of_others_is_not_read(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.other]\nport =\n")
    assert shown()["port"] == (8000, "default")


def test_what_config_writes_is_a_file_of_the_same_meaning(folder: Path) -> None:
    arguments = ["main:app", "--uds", "s", "--umask", "022", "--ws-origin", "same", "--workers=2"]
    written = ask("config", *arguments).stdout
    (folder / "fluvial.toml").write_text(written)
    assert "ws_origins" not in tomllib.loads(written)
    before, after = shown(*arguments), shown()
    assert {k: v for k, (v, _) in before.items()} == {k: v for k, (v, _) in after.items()}
    assert "# command line" in written


def test_passwords_are_not_shown() -> None:
    result = ask("config", "--ssl-keyfile-password", "s3cret")
    assert "s3cret" not in result.output
    assert '# ssl-keyfile-password = "***"  # command line' in result.output


def test_help_needs_no_file(folder: Path) -> None:
    (folder / "fluvial.toml").write_text("port =")
    assert ask("run", "--help").exit_code == 0


# ---- fluvial check --------------------------------------------------------------------------


def test_check_says_that_all_is_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    (folder / "checked_app.py").write_text("import fluvial\napp = fluvial.App()\n")
    (folder / "fluvial.toml").write_text("app = 'checked_app:app'\n")
    result = ask("check")
    assert (result.exit_code, result.stdout) == (0, "checked_app:app can be served\n")


def test_check_names_each_problem_in_one_line(folder: Path) -> None:
    (folder / "broken_app.py").write_text("1 / 0\n")
    result = ask("check", "broken_app:app", "--ssl-keyfile", "k", "--app-dir", str(folder))
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first == "Error: can't use TLS: --ssl-keyfile needs --ssl-certfile"
    assert second.startswith("Error: module 'broken_app' can't be imported: ZeroDivisionError")


# ---- The file of --env-file -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("  export A = b  ", "b"),
        ("# A=c\n\nA=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A= # comment", ""),
        ("A='b # c' # comment", "b # c"),
        ("A='b\nc'", "b\nc"),
        (r"A='b\'c\n'", r"b'c\n"),
        (r'A="b\"c\n"', 'b"c\n'),
        ("A=b=c", "b=c"),
        ("A=b\r\nC=d\r\n", "b"),
        ("A=b\nA=c", "c"),
        ("A=${HERE}/x", "here/x"),
        ('A="${NONE:-d}"', "d"),
        ("A='${HERE}'", "${HERE}"),
        ("B=1\nA=${B}2", "12"),
        ("A=$HERE", "$HERE"),
    ],
)
def test_the_common_form_of_env_files(folder: Path, text: str, value: str) -> None:
    (folder / "e").write_bytes(text.encode())
    assert read_env_file("e", {"HERE": "here"})["A"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=b\n= c", "e, line 2: must be KEY=VALUE"),
        ("A='b", "e, line 1: must be KEY=VALUE"),
        ("A='b' c", "e, line 1: must be KEY=VALUE"),
        ("\xff", "e can't be read: it is not UTF-8"),
    ],
)
def test_wrong_lines_of_env_files(folder: Path, text: str, message: str) -> None:
    (folder / "e").write_bytes(text.encode("latin-1"))
    with pytest.raises(EnvFileError, match=f"^{message}$"):
        read_env_file("e", {})


def test_a_key_alone_sets_nothing(folder: Path) -> None:
    (folder / "e").write_text("A\nB=1")
    assert read_env_file("e", {}) == {"B": "1"}


def test_the_program_sees_the_variables_of_an_env_file(folder: Path) -> None:
    (folder / "e").write_text("SEEN_BY_THE_PROGRAM=1\nHOME=other\n")
    with mock.patch.dict(os.environ, HOME="here"):
        CliRunner().invoke(main, ["config", "--env-file", "e"])
        assert (os.environ["SEEN_BY_THE_PROGRAM"], os.environ["HOME"]) == ("1", "here")
