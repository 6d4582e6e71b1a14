"""`fluvial run` with TLS: flags, what it prints, and mistakes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import fluvial
import httpx
import pytest
from support import forked
from support.certificate import RSA, Authority, Certificate, make_certificate, openssl
from support.command import serving
from support.forked import FLUVIAL
from support.tls_socket import TlsSocket, client_context

if TYPE_CHECKING:
    import ssl

TIMEOUT = 60
GET = b"GET /pid HTTP/1.1\r\nHost: h\r\n\r\n"

APP = """
import os
from fluvial import App, Request

app = App()

@app.get("/pid")
async def pid(request: Request):
    return [os.getpid(), str(request.url), request.tls["client_cert_name"]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app, and files of every kind to serve it with."""
    path = tmp_path_factory.mktemp("cli")
    (path / "it.py").write_text(APP)
    made = make_certificate(path)
    both = made.cert.read_text() + made.key.read_text()
    (path / "both.pem").write_text(both)
    openssl("pkey", "-in", made.key, "-aes256", "-passout", "pass:secret", "-out", path / "locked")
    (path / "text").write_text("nothing in PEM form\n")
    (path / "other").mkdir()
    make_certificate(path / "other", key=RSA)
    (path / "third").mkdir()
    make_certificate(path / "third")
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def context(folder: Path) -> ssl.SSLContext:
    return client_context(folder / "server.crt")


def flags(folder: Path, cert: str = "server.crt", key: str = "server.key") -> list[str]:
    return ["--ssl-certfile", str(folder / cert), "--ssl-keyfile", str(folder / key)]


def ask(url: str, context: ssl.SSLContext) -> list[object]:
    answer = httpx.get(f"{url}/pid", verify=context, timeout=TIMEOUT)
    found: list[object] = answer.json()
    return found


def run(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The command's status and what it says, when it ends."""
    done = forked.run(
        [FLUVIAL, "run", "it:app", "--port", "0", *arguments],
        cwd=folder,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stderr


# ---- Good ones -----------------------------------------------------------------------------


def test_https(folder: Path, context: ssl.SSLContext) -> None:
    with serving("it:app", *flags(folder), app_dir=folder) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert f"Fluvial running on {server.url} " in server.log
        pid = server.process.pid
        assert ask(server.url, context) == [pid, f"{server.url}/pid", None]


def test_one_file(folder: Path, context: ssl.SSLContext) -> None:
    option = ("--ssl-certfile", str(folder / "both.pem"))
    with serving("it:app", *option, app_dir=folder) as server:
        assert ask(server.url, context)[0] == server.process.pid


def test_another_kind_of_key(folder: Path) -> None:
    with serving("it:app", *flags(folder / "other"), app_dir=folder) as server:
        context = client_context(folder / "other" / "server.crt")
        assert ask(server.url, context)[0] == server.process.pid


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_password(folder: Path, context: ssl.SSLContext, how: str) -> None:
    option = ["--ssl-keyfile-password", "secret"] if how == "option" else []
    env = {} if how == "option" else {"FLUVIAL_SSL_KEYFILE_PASSWORD": "secret"}
    options = (*flags(folder, key="locked"), *option)
    with serving("it:app", *options, app_dir=folder, env=env) as server:
        assert ask(server.url, context)[0] == server.process.pid


@pytest.mark.parametrize("value", ["required", "2"])
def test_client_certificates(folder: Path, authority: Authority, value: str) -> None:
    client = authority.issue("alice", "/CN=alice")
    options = ("--ssl-ca-certs", str(authority.cert), "--ssl-cert-reqs", value)
    with serving("it:app", *flags(folder), *options, app_dir=folder) as server:
        good = client_context(folder / "server.crt", client)
        assert ask(server.url, good)[2] == "CN=alice"
        with pytest.raises(httpx.TransportError):
            ask(server.url, client_context(folder / "server.crt"))


def test_ciphers(folder: Path, context: ssl.SSLContext) -> None:
    option = ("--ssl-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384")
    context.maximum_version = context.maximum_version.TLSv1_2
    with serving("it:app", *flags(folder), *option, app_dir=folder) as server:
        url = httpx.URL(server.url)
        plain = socket.create_connection((url.host, url.port))
        with TlsSocket(plain, context).handshake() as sock:
            cipher = sock.tls.cipher()
            assert cipher is not None
            assert cipher[0] == option[1]
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises(httpx.ConnectError, match="handshake failure"):
            ask(server.url, context)


def test_workers_take_up_each_other_s_sessions(folder: Path, context: ssl.SSLContext) -> None:
    """They are forked when the certificate has been read, with one key for tickets."""
    with serving("it:app", *flags(folder), "--workers", "2", app_dir=folder) as server:
        url = httpx.URL(server.url)
        session = None
        issuer, pids = 0, set()
        deadline = time.monotonic() + TIMEOUT
        while len(pids) < 2:
            assert time.monotonic() < deadline
            plain = socket.create_connection((url.host, url.port))
            with TlsSocket(plain, context, session).handshake() as sock:
                sock.sendall(GET)
                pid = json.loads(sock.recv(65536).partition(b"\r\n\r\n")[2])[0]
                assert sock.tls.session_reused == (session is not None)
                session, issuer = (sock.tls.session, pid) if session is None else (session, issuer)
                pids |= {issuer, pid}


def test_a_unix_socket(folder: Path, context: ssl.SSLContext, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    command = [FLUVIAL, "run", "it:app", "--uds", str(path), *flags(folder)]
    process = forked.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "Fluvial running on" not in process.stderr.readline():
            continue
        transport = httpx.HTTPTransport(uds=str(path), verify=context)
        with httpx.Client(transport=transport) as client:
            answer = client.get("https://localhost/pid").json()
            assert answer == [process.pid, "https://localhost/pid", None]
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize(("level", "told"), [("debug", True), ("info", False)])
def test_plain_requests_are_told_to_those_who_ask(folder: Path, level: str, told: bool) -> None:
    options = (*flags(folder), "--log-level", level)
    with serving("it:app", *options, app_dir=folder) as server:
        assert httpx.get(server.url.replace("https", "http")).status_code == 400
        assert server.stop() == 0
        line = "DEBUG Refused a request from 127.0.0.1 with 400: This port speaks HTTPS only"
        assert (line in server.log) == told


# ---- Mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--ssl-certfile", "nowhere"], "nowhere: No such file or directory"),
        (["--ssl-certfile", "."], r"\.: "),
        (["--ssl-certfile", "text"], "text: there is no certificate in PEM form"),
        (["--ssl-certfile", "server.key"], "server.key: there is no certificate in PEM form"),
        (["--ssl-certfile", "server.crt"], "server.crt: there is no private key in PEM form"),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", "nowhere"],
            "nowhere: No such file or directory",
        ),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", "text"],
            "text: there is no private key in PEM form",
        ),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", "other/server.key"],
            "other/server.key: the private key does not match the certificate",
        ),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", "third/server.key"],
            "third/server.key: the private key does not match the certificate",
        ),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", "locked"],
            "locked: the private key is encrypted and no password was given",
        ),
        (
            [
                *("--ssl-certfile", "server.crt", "--ssl-keyfile", "locked"),
                *("--ssl-keyfile-password", "wrong"),
            ],
            "locked: the password for the private key is wrong",
        ),
        (["--ssl-keyfile", "server.key"], "--ssl-keyfile needs --ssl-certfile"),
        (["--ssl-keyfile-password", "x"], "--ssl-keyfile-password needs --ssl-certfile"),
        (["--ssl-ca-certs", "server.crt"], "--ssl-ca-certs needs --ssl-certfile"),
        (["--ssl-ciphers", "DEFAULT"], "--ssl-ciphers needs --ssl-certfile"),
        (["--ssl-cert-reqs", "required"], "--ssl-cert-reqs needs --ssl-certfile"),
        (
            ["--ssl-certfile", "both.pem", "--ssl-cert-reqs", "optional"],
            "--ssl-cert-reqs needs --ssl-ca-certs",
        ),
        (
            ["--ssl-certfile", "both.pem", "--ssl-ca-certs", "nowhere"],
            "nowhere: No such file or directory",
        ),
        (
            ["--ssl-certfile", "both.pem", "--ssl-ca-certs", "text"],
            "text: there is no certificate in PEM form",
        ),
        (
            ["--ssl-certfile", "both.pem", "--ssl-ciphers", "NONSENSE"],
            "'NONSENSE' names no cipher of TLS 1.2",
        ),
    ],
)
def test_mistakes_take_one_line(
    folder: Path, arguments: list[str], reason: str, workers: str
) -> None:
    status, said = run(folder, *arguments, "--workers", workers)
    assert status == 1
    assert re.match(f"Error: can't use TLS: {reason}", said), said
    assert said.count("\n") == 1


def test_a_wrong_word_is_click_s_own(folder: Path) -> None:
    status, said = run(folder, *flags(folder), "--ssl-cert-reqs", "3")
    assert status == 2
    assert "Invalid value for '--ssl-cert-reqs'" in said


def test_help() -> None:
    text = subprocess.run(
        [FLUVIAL, "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for flag in ("certfile", "keyfile", "keyfile-password", "ca-certs", "cert-reqs", "ciphers"):
        found = re.search(rf"--ssl-{flag} .*?(?=\n  --|\Z)", text, re.DOTALL)
        assert found is not None
        assert "default" in found.group().lower()


# ---- From Python ---------------------------------------------------------------------------


def test_run_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = fluvial.App()
    for options, reason in [
        ({"ssl_certfile": str(folder / "nowhere")}, "nowhere: No such file or directory"),
        ({"ssl_keyfile": "x"}, "--ssl-keyfile needs --ssl-certfile"),
        (
            {"ssl_certfile": str(folder / "both.pem"), "ssl_cert_reqs": "always"},
            "--ssl-cert-reqs is 'always', not none",
        ),
    ]:
        with pytest.raises(SystemExit) as info:
            fluvial.run(app, fluvial.Config(port=0, **options))
        assert info.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("Error: can't use TLS: ")
        assert reason in lines[0]


def test_the_password_is_not_shown(certificate: Certificate) -> None:
    config = fluvial.Config(ssl_certfile=str(certificate.cert), ssl_keyfile_password="secret")
    assert "secret" not in repr(config)
