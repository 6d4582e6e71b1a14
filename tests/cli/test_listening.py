"""Where a server listens, as whom it runs, and what it tells its service manager."""

from __future__ import annotations

import grp
import os
import pwd
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from support.command import PATIENCE, ServerProcess, launched

APP = """
import itertools, os
from fluvial import App

app = App()

def told():
    return [name for name in os.environ if name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))]

AT_IMPORT = told()

@app.get("/block")
async def block():
    print("blocks", flush=True)
    sum(itertools.repeat(1))  # this line keeps the GIL

@app.get("/who")
def who():
    mask = os.umask(0)
    os.umask(mask)
    names = AT_IMPORT + told()
    return {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid(), "umask": mask,
            "groups": os.getgroups(), "names": names}
"""
WORKERS = pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "workers"])

# Replaces itself by the command that follows, like systemd for a socket unit.
PASSING = """
import fcntl, os, socket, sys
tcp, local = socket.socket(), socket.socket(socket.AF_UNIX)
tcp.bind(("127.0.0.1", 0))
local.bind("passed")
print("passing", tcp.getsockname()[1], flush=True)
for sock in (tcp, local):
    sock.listen()
high = [fcntl.fcntl(sock, fcntl.F_DUPFD, 100) for sock in (tcp, local)]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
if sys.argv[1] == "systemd":
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def ask(address: str, path: str = "/who") -> dict[str, object]:
    """What the app at a URL, or at the path of a Unix socket, says."""
    is_url = address.startswith("http")
    transport = httpx.HTTPTransport(uds=None if is_url else address)
    with httpx.Client(transport=transport, trust_env=False, timeout=PATIENCE) as client:
        return dict(client.get((address if is_url else "http://x") + path).json())


def urls(server: ServerProcess, workers: tuple[str, ...] = ()) -> list[str]:
    """The addresses that it says it runs on."""
    told = server.expect("Fluvial running on (.*) \\(press", 2 if workers else 1)
    return re.findall(r"https?://[^ ,]+|unix:[^ ,]+", told[-1])


@WORKERS
def test_several_addresses(folder, workers) -> None:
    addresses = ("127.0.0.1:0", "unix:one", f"unix:{folder}/two", "localhost:0")
    flags = [part for address in addresses for part in ("--bind", address)]
    with launched("it:app", *flags, *workers, app_dir=folder) as server:
        found = urls(server, workers)
        assert len([url for url in found if "127.0.0.1" in url]) == 2
        for address in (
            *(u for u in found if "127." in u),
            str(folder / "one"),
            str(folder / "two"),
        ):
            assert ask(address)["uid"] == os.getuid()
        assert server.stop() == 0
    assert not (folder / "one").exists()
    assert not (folder / "two").exists()


@WORKERS
def test_both_families(folder, workers) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").read_text():
        pytest.skip("this machine has no IPv6")
    with launched("it:app", "--bind", ":0", *workers, app_dir=folder) as server:
        found = urls(server, workers)
        port = found[0].rpartition(":")[2]
        assert {ask(f"http://{host}:{port}")["uid"] for host in ("127.0.0.1", "[::1]")}
    with launched("it:app", "--bind", "[::1]:0", *workers, app_dir=folder) as server:
        assert ask(urls(server, workers)[0])["uid"] == os.getuid()


@WORKERS
@pytest.mark.parametrize("how", ["systemd", "fd"])
def test_sockets_of_somebody_else(folder, workers, how) -> None:
    prefix = (sys.executable, "-c", PASSING, how)
    flags = ("--bind", "fd://3", "--bind", "fd://4") if how == "fd" else ()
    with launched("it:app", *flags, *workers, app_dir=folder, prefix=prefix) as server:
        (port,) = server.expect(r"passing (\d+)")
        urls(server, workers)
        for address in (f"http://127.0.0.1:{port}", str(folder / "passed")):
            assert ask(address)["names"] == []
        assert server.stop() == 0
    assert (folder / "passed").exists()  # it isn't ours to remove


def test_sockets_for_another_process(folder) -> None:
    """A parent that doesn't know of the variables has left them in the environment."""
    env = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    with launched("it:app", app_dir=folder, env=env) as server:
        assert ask(urls(server)[0])["uid"] == os.getuid()


def test_descriptors_that_are_no_sockets_to_listen_on(folder) -> None:
    def start(address: str, *fds: int) -> str:
        command = [
            str(Path(sys.executable).with_name("fluvial")),
            "run",
            "it:app",
            "--bind",
            address,
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            pass_fds=fds,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    one, other = socket.socketpair()
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    with one, other, datagrams, open(os.devnull) as null:
        for fd, reason in (
            (999, "it isn't open"),
            (null.fileno(), "it is not a socket"),
            (datagrams.fileno(), "it is not a stream socket of TCP or Unix"),
            (one.fileno(), "it is a connection, not a socket to listen on (systemd: Accept=no)"),
        ):
            fds = () if fd == 999 else (fd,)
            assert start(f"fd://{fd}", *fds) == f"Error: can't listen on fd://{fd}: {reason}"


@WORKERS
def test_one_port_for_several_servers(folder, workers) -> None:
    with launched("it:app", "--reuse-port", *workers, app_dir=folder) as first:
        url = urls(first, workers)[0]
        place = ("--bind", url.removeprefix("http://"))
        with launched("it:app", *place, "--reuse-port", *workers, app_dir=folder) as second:
            urls(second, workers)
            first.stop()
            assert ask(url)["uid"] == os.getuid()
            with launched("it:app", *place, *workers, app_dir=folder) as third:
                assert third.wait() == 1
                assert f"can't listen on {place[1]}: the port is in use already" in third.log


class Manager:
    """The socket on which a service manager is told things."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(PATIENCE)

    def expect(self, wanted: str) -> list[str]:
        """The lines of the first datagram that has the line."""
        while True:
            lines = self.sock.recv(4096).decode().splitlines()
            if wanted in lines:
                return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.sock.close()


@WORKERS
def test_a_service_manager_is_told(folder, manager, workers) -> None:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
    with launched("it:app", *workers, app_dir=folder, env=env) as server:
        manager.expect("READY=1")
        assert ask(urls(server, workers)[0])["names"] == []
        for _ in range(3):
            manager.expect("WATCHDOG=1")
        server.process.send_signal(signal.SIGTERM)
        manager.expect("STOPPING=1")
        assert server.stop(0) == 0


def test_the_watchdog_of_another_process(folder, manager) -> None:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    with launched("it:app", app_dir=folder, env=env) as server:
        manager.expect("READY=1")
        server.process.send_signal(signal.SIGTERM)
        # The watchdog of another process isn't ours.
        assert manager.sock.recv(4096).startswith(b"STOPPING=1")


def test_a_reload_is_told(folder, manager) -> None:
    command = [str(Path(sys.executable).with_name("fluvial")), "dev", "it:app", "--bind"]
    env = {"NOTIFY_SOCKET": manager.path}
    server = ServerProcess([*command, "127.0.0.1:0"], env, folder)
    try:
        manager.expect("READY=1")
        (folder / "it.py").write_text(APP + "\n")
        lines = manager.expect("RELOADING=1")
        assert [line for line in lines if re.fullmatch(r"MONOTONIC_USEC=\d+", line)]
        manager.expect("READY=1")
    finally:
        server.stop()


# Of the workers that are started after the first two, the second one waits.
GATE = """
import time
if os.path.exists("restarts"):
    try:
        os.mkdir("first")
    except FileExistsError:
        print("waits", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
"""


def test_a_restart_of_workers_is_told(folder, manager) -> None:
    """As systemd's Type=notify-reload expects it: ready when the last one has been replaced."""
    (folder / "it.py").write_text(APP + GATE)
    env = {"NOTIFY_SOCKET": manager.path}
    with launched("it:app", "--workers", "2", app_dir=folder, env=env) as server:
        manager.expect("READY=1")
        urls(server, ("2",))
        (folder / "restarts").touch()
        server.process.send_signal(signal.SIGHUP)
        told = manager.expect("RELOADING=1")
        assert [line for line in told if re.fullmatch(r"MONOTONIC_USEC=\d+", line)]
        server.expect("waits")
        assert select.select([manager.sock], [], [], 0)[0] == []
        (folder / "go").touch()
        manager.expect("READY=1")
        server.process.send_signal(signal.SIGTERM)
        assert manager.sock.recv(4096).startswith(b"STOPPING=1")


def test_a_restart_that_fails_is_over(folder, manager, certificate) -> None:
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(certificate.cert.read_bytes())
    key.write_bytes(certificate.key.read_bytes())
    flags = ("--workers", "2", "--ssl-certfile", str(cert), "--ssl-keyfile", str(key))
    env = {"NOTIFY_SOCKET": manager.path}
    with launched("it:app", *flags, app_dir=folder, env=env) as server:
        manager.expect("READY=1")
        urls(server, ("2",))
        cert.write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        manager.expect("RELOADING=1")
        manager.expect("READY=1")
        (folder / "it.py").write_text("nonsense")
        cert.write_bytes(certificate.cert.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        manager.expect("RELOADING=1")
        manager.expect("READY=1")
        assert len(server.expect("before it was ready; the others stay")) == 1


@WORKERS
def test_umask_and_pid_file(folder, workers) -> None:
    flags = ("--umask", "027", "--pid", "pid", "--bind", "unix:s", "--bind", "127.0.0.1:0")
    (folder / "pid").write_text("999999999\n")  # of a server that was killed
    with launched("it:app", *flags, *workers, app_dir=folder) as server:
        url = next(url for url in urls(server, workers) if url.startswith("http"))
        assert (folder / "pid").read_text() == f"{server.process.pid}\n"
        assert ask(url)["umask"] == 0o027
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o750
        with launched("it:app", "--pid", "pid", app_dir=folder) as second:
            assert second.wait() == 1
            told = f"Error: {folder}/pid names the process {server.process.pid}, which is running"
            assert told in second.log
        assert server.stop() == 0
    assert not (folder / "pid").exists()


def test_a_pid_file_that_cannot_be_written(folder) -> None:
    with launched("it:app", "--pid", "none/pid", app_dir=folder) as server:
        assert server.wait() == 1
        assert f"Error: can't write {folder}/none/pid: No such file or directory" in server.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--user", "nosuchuser"), "Error: there is no user 'nosuchuser'"),
        (("--user", "4294967295"), "Error: there is no user '4294967295'"),
        (("--user", "nosuchuser", "--workers", "2"), "Error: there is no user 'nosuchuser'"),
        (("--group", "nosuchgroup"), "there is no group 'nosuchgroup'"),
        (("--uds", "s", "--uds-owner", "nosuchuser"), "listen on s: there is no user 'nosuchuser'"),
        (("--bind", "unix:s", "--uds-group", "nosuchgroup"), "there is no group 'nosuchgroup'"),
    ],
)
def test_users_and_groups_that_do_not_exist(folder, flags, message) -> None:
    with launched("it:app", *flags, app_dir=folder) as server:
        assert server.wait() == 1
        assert message in server.log
        assert "Traceback" not in server.log
        assert "worker" not in server.log


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "it.py").write_text(APP)
    yield made
    shutil.rmtree(made)


def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")


# Whoever root becomes then may still read every file: Python's may be in a folder of root's.
READING = ("setpriv", "--securebits", "+no_setuid_fixup")


@WORKERS
def test_the_app_runs_as_somebody_else(open_folder, workers) -> None:
    _needs_root()
    nobody = pwd.getpwnam("nobody")
    flags = ("--user", "nobody", "--bind", "unix:s", "--bind", "127.0.0.1:0", "--uds-mode", "600")
    with launched("it:app", *flags, *workers, app_dir=open_folder, prefix=READING) as server:
        url = next(url for url in urls(server, workers) if url.startswith("http"))
        told = ask(url)
        assert (told["uid"], told["gid"]) == (nobody.pw_uid, nobody.pw_gid)
        assert told["groups"] == [nobody.pw_gid]
        found = (open_folder / "s").stat()
        assert (found.st_uid, found.st_gid) == (nobody.pw_uid, nobody.pw_gid)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert server.stop() == 0


def test_workers_that_come_later_run_as_somebody_else(open_folder) -> None:
    _needs_root()
    flags = ("--user", "nobody", "--workers", "2", "--bind", "127.0.0.1:0")
    with launched("it:app", *flags, app_dir=open_folder, prefix=READING) as server:
        url = urls(server, ("2",))[0]
        server.process.send_signal(signal.SIGHUP)
        server.expect("has ended", 2)
        assert ask(url)["uid"] == pwd.getpwnam("nobody").pw_uid
        assert server.stop() == 0


def test_a_worker_that_is_somebody_else_notices_its_parent_s_end(open_folder) -> None:
    """Also while its loop stands still: the kernel says so."""
    _needs_root()
    flags = ("--user", "nobody", "--workers", "2", "--bind", "127.0.0.1:0", "--worker-timeout", "0")
    times = ("--graceful-timeout", "0.1", "--cleanup-timeout", "0.1")
    with launched("it:app", *flags, *times, app_dir=open_folder, prefix=READING) as server:
        place = urls(server, ("2",))[0].removeprefix("http://").split(":")
        workers = psutil.Process(server.process.pid).children()
        with socket.create_connection((place[0], int(place[1])), PATIENCE) as client:
            client.sendall(b"GET /block HTTP/1.1\r\nHost: h\r\n\r\n")
            server.expect("blocks")
            server.process.kill()
            _, alive = psutil.wait_procs(workers, PATIENCE)
            for worker in alive:
                worker.kill()
            assert alive == []


@WORKERS
def test_the_app_runs_in_another_group(folder, workers) -> None:
    _needs_root()
    with launched("it:app", "--group", "mail", *workers, app_dir=folder) as server:
        told = ask(urls(server, workers)[0])
        mail = grp.getgrnam("mail").gr_gid
        assert (told["uid"], told["gid"], told["groups"]) == (0, mail, [mail])


def test_whom_a_socket_belongs_to(folder) -> None:
    _needs_root()
    flags = ("--uds", "s", "--uds-owner", "nobody", "--uds-group", "mail", "--uds-mode", "660")
    with launched("it:app", *flags, app_dir=folder) as server:
        urls(server)
        found = (folder / "s").stat()
        assert (found.st_uid, found.st_gid) == (
            pwd.getpwnam("nobody").pw_uid,
            grp.getgrnam("mail").gr_gid,
        )
        assert stat.S_IMODE(found.st_mode) == 0o660


def test_only_root_becomes_somebody_else(open_folder) -> None:
    _needs_root()  # to begin as somebody else
    may_read = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *may_read)
    flags = ("--user", "root", "--bind", "127.0.0.1:0")
    with launched("it:app", *flags, app_dir=open_folder, prefix=prefix) as server:
        assert server.wait() == 1
        assert "Error: can't run as root: Operation not permitted; only root may" in server.log
