"""Options of the server: what they take, and what is said of those that they don't take."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
from pathlib import Path
from typing import Any

import fluvial
import pytest
from fluvial import App, Config
from support import forked
from support.forked import FLUVIAL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"log_level": "nonsense"},
            "log_level must be one of critical, error, warning, info, debug, not 'nonsense'",
        ),
        ({"log_level": "warn"}, "not 'warn'; did you mean 'warning'?"),
        ({"log_level": 10}, "log_level must be a str, not 10"),
        ({"lifespan": "yes"}, "lifespan must be one of auto, on, off, not 'yes'"),
        ({"port": 65536}, "port must be from 0 to 65535, not 65536"),
        ({"port": "8000"}, "port must be an integer, not '8000'"),
        ({"port": True}, "port must be an integer, not True"),
        ({"workers": 0}, "workers must be from 1 to 1024, not 0"),
        ({"threads": 10_001}, "threads must be from 1 to 10000, not 10001"),
        ({"thread_queue": 2**31}, "thread_queue must be from 1 to 2147483647"),
        ({"backlog": -1}, "backlog must be from 1 to 2147483647, not -1"),
        ({"graceful_timeout": float("nan")}, "graceful_timeout must be from 0 to 86400.0, not nan"),
        ({"graceful_timeout": "30"}, "graceful_timeout must be a number, not '30'"),
        ({"host": None}, "host must be a str, not None"),
        ({"limits": {"bodys": 1}}, "unknown limit 'bodys'; did you mean 'body'?"),
        ({"limits": {"keep_alive": 2**32}}, "limits['keep_alive'] must be from 0 to 4294967295"),
        ({"limits": {"body": -1}}, "limits['body'] must be from 0 to 9223372036854775807"),
        ({"root_path": "http://a/b"}, "root_path must be the path of a URL, such as /api"),
        ({"access_log": "no"}, "access_log must be True or False, not 'no'"),
        ({"asgi_debug": 1}, "asgi_debug must be True or False, not 1"),
        ({"uds": 5}, "uds must be a str or None, not 5"),
        ({"uds": ""}, "uds must be the path of a socket, not ''"),
        ({"uds": "s", "port": 1}, "uds and port can't be combined: give one of them"),
        ({"uds": "s", "host": ""}, "uds and host can't be combined: give one of them"),
        ({"uds_mode": 0o600}, "uds_mode is for a Unix socket: give uds, or unix:PATH in bind"),
        ({"bind": ("a:1",), "uds_group": "g"}, "uds_group is for a Unix socket: give uds, or unix"),
        ({"ssl_certfile": b"x"}, "ssl_certfile must be a str or a tuple of str, not b'x'"),
        ({"ssl_keyfile": ("a", 1)}, "ssl_keyfile must be a str, not 1"),
        ({"ws_origins": "https://a"}, "ws_origins must be a tuple of str, not 'https://a'"),
        ({"allowed_hosts": "a.example"}, "allowed_hosts must be a tuple of str, not 'a.example'"),
        ({"allowed_hosts": ("a:80",)}, "allowed_hosts takes names without a port, such as"),
        ({"allowed_hosts": ("https://a",)}, "such as example.org, *.example.org, [::1] or *, not"),
        ({"forwarded_allow_ips": 5}, "forwarded_allow_ips must be a str or a tuple of str, not 5"),
        ({"forwarded_allow_ips": "proxy"}, "takes addresses, networks, unix or *, not 'proxy'"),
        ({"proxy_allow_ips": "proxy"}, "proxy_allow_ips takes addresses, networks, unix or *, not"),
        (
            {"forwarded_allow_ips": ("10.0.0.1/8",)},
            "forwarded_allow_ips takes addresses, networks, unix or *, not '10.0.0.1/8'; did you "
            "mean 10.0.0.0/8?",
        ),
        ({"forwarded_fields": ("x-real-ip",)}, "forwarded_fields must be of x-forwarded-for, x-fo"),
        ({"bind": "a:1"}, "bind must be a tuple of str, not 'a:1'"),
        ({"bind": ("a",)}, "bind takes a port, too, such as a:8000, not 'a'"),
        ({"bind": ("a:1", 2)}, "bind must be a tuple of str, not ('a:1', 2)"),
        ({"bind": ("a:1",), "uds": "s"}, "bind and uds can't be combined: give one of them"),
        ({"bind": ("a:1",), "port": 1}, "bind and port can't be combined: give one of them"),
        ({"umask": 0o1000}, "umask must be from 0 to 511, not 512"),
        ({"user": 5}, "user must be a str or None, not 5"),
        ({"user": ""}, "user must be a name or a number, not ''"),
        ({"pid": ""}, "pid must be the path of a file, not ''"),
        ({"group": "g", "preload": True}, "preload can't be combined with user or group: the app "),
        ({"limits": None}, "limits must be a dict, not None"),
        ({"root_path": "/a?b"}, "root_path must be the path of a URL, such as /api"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^Config: ") as info:
        Config(**options)
    assert message in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("api", "/api"), ("/api/", "/api"), ("/a/b", "/a/b"), ("//api", "/api"), ("/", ""), ("", "")],
)
def test_root_paths_are_read_as_they_are_meant(written: str, meant: str) -> None:
    assert Config(root_path=written).root_path == meant


def test_files_may_be_paths() -> None:
    config = Config(uds=Path("a"), ssl_certfile=Path("b"))  # type: ignore[arg-type]
    assert (config.uds, config.ssl_certfile) == ("a", "b")
    assert Config(ssl_certfile=(Path("a"), "b")).ssl_certfile == ("a", "b")  # type: ignore[arg-type]
    assert (Config(ssl_certfile=("a",)).ssl_certfile, Config(ssl_certfile=()).scheme) == (
        "a",
        "http",
    )


def test_levels_may_be_written_large() -> None:
    assert Config(log_level="INFO").log_level == "info"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--uds", "s", "--port", "1"], "--uds and --port can't be combined"),
        (["--uds", "s", "--host", "h"], "--uds and --host can't be combined"),
        (["--uds-mode", "600"], "--uds-mode is for a Unix socket: give --uds or --bind unix:PATH"),
        (["--bind", "a:1", "--uds-owner", "o"], "--uds-owner is for a Unix socket: give --uds or"),
        (["--bind", "a:1", "--port", "1"], "--bind and --port can't be combined"),
        (["--bind", "a:1", "--uds", "s"], "--bind and --uds can't be combined"),
        (
            ["--bind", "127.0.0.1"],
            "bind takes a port, too, such as 127.0.0.1:8000, not '127.0.0.1'",
        ),
        (["--bind", "::1:80"], "bind takes IPv6 addresses in brackets, such as [::1]:8000, not"),
        (["--bind", "/run/x"], "bind takes unix:PATH for a Unix socket, such as unix:/run/x, not"),
        (["--bind", "a:65536"], "bind takes HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N, not"),
        (["--bind", "fd://x"], "bind takes HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N, not"),
        (["--umask", "8"], "Invalid value for '--umask': '8' is not a mode in octal digits"),
        (["--forwarded-allow-ips", "x"], "forwarded_allow_ips takes addresses, networks, unix or"),
        (["--user", "u", "--preload"], "preload can't be combined with user or group"),
        (["--root-path", "http://a"], "root_path must be the path of a URL"),
        (["--graceful-timeout", "nan"], "Invalid value for '--graceful-timeout': 'nan'"),
        (["--graceful-timeout", "inf"], "Invalid value for '--graceful-timeout'"),
        (["--keep-alive", "nan"], "Invalid value for '--keep-alive'"),
        (["--keep-alive", "inf"], "Invalid value for '--keep-alive'"),
        (["--keep-alive", "1e9"], "Invalid value for '--keep-alive'"),
        (["--limit-headers", "4294967296"], "Invalid value for '--limit-headers'"),
        (["--threads", "10001"], "Invalid value for '--threads'"),
        (["--thread-queue", "2147483648"], "Invalid value for '--thread-queue'"),
        (["--backlog", "9999999999"], "Invalid value for '--backlog'"),
    ],
)
def test_wrong_flags_take_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = forked.run(
        [FLUVIAL, "run", "it:app", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last.startswith("Error: ")
    assert message in last
    assert "Traceback" not in done.stderr


# ---- fluvial.run ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((App(),), {"prot": 1}, "fluvial.run() has no option 'prot'; did you mean 'port'?"),
        ((App(),), {"zzz": 1}, "fluvial.run() has no option 'zzz'; see fluvial.Config"),
        ((App(), 8000), {}, "fluvial.run(): config must be a fluvial.Config, not 8000"),
        ((App(),), {"port": -1}, "Config: port must be from 0 to 65535, not -1"),
        ((App(),), {"uds": "x", "port": 1}, "fluvial.run(): uds and port can't be combined"),
        ((App(),), {"uds": "x", "host": ""}, "fluvial.run(): uds and host can't be combined"),
        ((App(),), {"bind": ("a:1",), "port": 1}, "fluvial.run(): bind and port can't be combined"),
        ((App(),), {"bind": ("a:1",), "uds": "x"}, "fluvial.run(): bind and uds can't be combined"),
        ((App(),), {"bind": 5}, "Config: bind must be a tuple of str, not 5"),
        ((App(), Config(port=1)), {"log_level": "x"}, "Config: log_level must be one of"),
    ],
)
def test_run_refuses_wrong_options(
    args: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as info:
        fluvial.run(*args, **options)
    assert message in str(info.value)


@pytest.mark.parametrize(
    ("config", "options", "address"),
    [
        (Config(port=1, host="h"), {"uds": "s"}, ("127.0.0.1", 8000, "s", None, ())),
        (Config(uds="s", uds_mode=0o600), {"port": 1}, ("127.0.0.1", 1, None, None, ())),
        (Config(uds="s"), {"host": "h"}, ("h", 8000, None, None, ())),
        (Config(uds="s", uds_mode=0o600), {"uds": "t"}, ("127.0.0.1", 8000, "t", 0o600, ())),
        (Config(uds="s", uds_mode=0o600), {"uds": None}, ("127.0.0.1", 8000, None, None, ())),
        (Config(uds="s"), {"log_level": "debug"}, ("127.0.0.1", 8000, "s", None, ())),
        (Config(port=1), {"bind": ("a:1",)}, ("127.0.0.1", 8000, None, None, ("a:1",))),
        (Config(bind=("a:1",)), {"bind": ()}, ("127.0.0.1", 8000, None, None, ())),
        (Config(bind=("a:1",)), {"port": 1}, ("127.0.0.1", 1, None, None, ())),
        (Config(bind=("a:1",)), {"uds": "s"}, ("127.0.0.1", 8000, "s", None, ())),
        (
            Config(uds="s", uds_mode=0o600),
            {"bind": ("a:1",)},
            ("127.0.0.1", 8000, None, None, ("a:1",)),
        ),
        (
            Config(uds="s", uds_mode=0o600),
            {"bind": ("unix:t",)},
            ("127.0.0.1", 8000, None, 0o600, ("unix:t",)),
        ),
    ],
)
def test_an_address_given_to_run_takes_the_configs_place(
    monkeypatch: pytest.MonkeyPatch, config: Config, options: dict[str, Any], address: Any
) -> None:
    found: list[Config] = []
    module = importlib.import_module("fluvial._serving.run")
    monkeypatch.setattr(module, "start", lambda load, config: found.append(config))
    fluvial.run(App(), config, **options)
    (used,) = found
    assert (used.host, used.port, used.uds, used.uds_mode, used.bind) == address


@pytest.mark.parametrize("options", [{"workers": 2}, {"max_lifetime": 5}])
def test_workers_need_the_main_thread(options: dict[str, Any]) -> None:
    (name,) = options
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        pytest.raises(RuntimeError, match=f"only in the main thread, .* or without {name}"),
    ):
        pool.submit(fluvial.run, App(), **options).result()


def test_what_asks_for_a_parent_process() -> None:
    assert Config().supervised == Config(worker_timeout=0, max_requests_jitter=5).supervised == ()
    assert Config(workers=2).supervised == ("workers",)
    assert Config(max_rss=1, worker_timeout=5.0).supervised == ("worker_timeout", "max_rss")
    assert Config().longest_standstill == 30
    assert Config(worker_timeout=0).longest_standstill == 0


def test_run_within_a_loop() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="can't be called from a coroutine"):
            fluvial.run(App())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (42, "Error: the object given to fluvial.run() is not an app but an object of type int"),
        ("nowhere_x:app", "Error: there is no module 'nowhere_x' in "),
        ("good.py:app", "Error: there is no module 'good.py' in "),
        (App(), "Error: can't listen on 192.0.2.1:8000: "),
    ],
)
def test_run_says_in_one_line_why_it_can_not(
    capsys: pytest.CaptureFixture[str], app: Any, message: str
) -> None:
    with pytest.raises(SystemExit) as info:
        fluvial.run(app, host="192.0.2.1")
    assert info.value.code == 1
    assert capsys.readouterr().err.startswith(message)
