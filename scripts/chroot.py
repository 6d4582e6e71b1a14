"""Runs a command in a minimal Debian of another suite, on a copy of the sources.

    python3 scripts/chroot.py forky make test
    PYTHON=python3.15 python3 scripts/chroot.py forky make test
    python3 scripts/chroot.py --with clang forky make lint

The system is made by debootstrap under build/debian/SUITE, once, and used again from then on; so is
the copy of the sources with what was built in it. PYTHON names one of the suite's Pythons. `--with`
installs other packages that are missing.
The host's certificates and pip's settings (`PIP_…`, `SSL_CERT_FILE`) hold inside. Mounts and
processes belong to namespaces of their own (unshare(1)), which end with the command, and with this
script, however these end. Root only.
Standard library only: it runs first.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIRROR = "http://deb.debian.org/debian"
# The suites, and the Python that each calls python3.
SUITES = {"bookworm": "python3.11", "trixie": "python3.13", "forky": "python3.14"}
# debootstrap knows the suites of its own time; this script of its serves all that came later.
SCRIPT = "/usr/share/debootstrap/scripts/sid"
BASE = ("ca-certificates", "git", "make")
SOURCES = "/fluvial"  # inside
# The documentation pages' scripts, which npm fetches: copied, too, where the host has them.
ASSETS = "pysrc/fluvial/openapi/assets"
# Of what needs the network, and the seconds between two.
TRIES = 3
PAUSE = 15
# A package's states after an interrupted dpkg.
UNFINISHED = {"half-installed", "unpacked", "half-configured"}
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
KEPT = ("SSL_CERT_FILE", "CI", "FLUVIAL_LTO")

# Namespaces of its own for what follows. unshare(1) dies with this process even if that is killed,
# the first process inside with unshare(1), and with this all others and the mounts.
OWN = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
OWN += ("--propagation", "private", "--")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# $1: the system's root, $2: the sources inside, then the command, which becomes process 1.
INSIDE = """
set -eu
root=$1 sources=$2
shift 2
# unshare(1) inside wants a mount at /.
mount --bind "$root" "$root"
mount --types proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --types tmpfs tmpfs "$root/tmp"
if [ -e /etc/resolv.conf ]; then cat /etc/resolv.conf >"$root/etc/resolv.conf"; fi
exec chroot "$root" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$sources" "$@"
"""


class Ended(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> int:
    options = parse_options()
    notice_signals()
    if os.geteuid() != 0:
        print("scripts/chroot.py: chroot and mount need root", file=sys.stderr)
        return 1
    root = options.folder.resolve() / options.suite
    make_system(options.suite, root)
    python = os.environ.get("PYTHON") or SUITES[options.suite]
    install(root, [python, f"{python}-dev", f"{python}-venv", *options.packages])
    copy_sources(root)
    return run(root, options.command, {"PYTHON": python})


def make_system(suite: str, root: Path) -> None:
    """Makes the system, unless it is there already as a whole."""
    done = root.with_name(f"{suite}.made")
    if done.exists() and root.is_dir():
        return
    if shutil.which("debootstrap") is None:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "system.py"), "chroot"], check=True)
    print(f"fluvial: making a Debian {suite} in {root}", flush=True)
    done.unlink(missing_ok=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(TRIES)):
        shutil.rmtree(root, ignore_errors=True)
        status, output = call_inside(debootstrap(suite, root), capture=True)
        if status == 0:
            break
        print("\n".join(output.splitlines()[-10:]), flush=True)
        print(f"fluvial: debootstrap failed; {left} more tries", flush=True)
        time.sleep(PAUSE if left else 0)
    else:
        raise SystemExit(f"scripts/chroot.py: no Debian {suite} could be made from {MIRROR}")
    # A mirror may be a snapshot, whose lists have expired.
    (root / "etc/apt/apt.conf.d/90fluvial").write_text('Acquire::Check-Valid-Until "false";\n')
    # What is lost when the machine fails can be made again.
    (root / "etc/dpkg/dpkg.cfg.d/90fluvial").write_text("force-unsafe-io\n")
    done.touch()


def debootstrap(suite: str, root: Path) -> list[str]:
    """The command."""
    known = Path(SCRIPT).with_name(suite)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(BASE)}"]
    return [*command, suite, str(root), MIRROR, *([] if known.exists() else [SCRIPT])]


def install(root: Path, packages: list[str]) -> None:
    """Installs Debian's packages that are missing, and what an interrupted run left half done."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n"]
    query = ["chroot", str(root), *query]
    shown = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    status = dict(line.split() for line in shown.splitlines())
    missing = [package for package in packages if package not in status]
    interrupted = UNFINISHED & set(status.values()) or any(root.glob("var/lib/dpkg/updates/*"))
    if not missing and not interrupted:
        return
    print(f"fluvial: installing in {root}: {', '.join(missing) or 'what is half done'}", flush=True)
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"]
    # First what is half installed, as far as it goes without what it needs; then the lists: a
    # suite that isn't released yet has other versions tomorrow.
    steps = (
        ["sh", "-c", "dpkg --configure -a || true"],
        ["apt-get", "update", "--quiet"],
        [*command, "--fix-broken", *missing],
    )
    for left in reversed(range(TRIES)):
        if all(run(root, step, {}, folder="/", quiet=True) == 0 for step in steps):
            return
        print(f"fluvial: apt-get failed; {left} more tries", flush=True)
        time.sleep(PAUSE if left else 0)
    raise SystemExit(f"scripts/chroot.py: in {root}: {' '.join(command)} failed")


def copy_sources(root: Path) -> None:
    """Brings the copy of the sources up to date, one process at a time; what was built stays."""
    target = root / SOURCES.lstrip("/")
    lock = target / "build" / "copy.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _copy_sources(target)


def _copy_sources(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    wanted = {os.fsdecode(name) for name in listed.split(b"\0") if name}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / ASSETS).rglob("*")}
    record = target / "build" / "copied.txt"
    before = set(record.read_text().splitlines()) if record.exists() else set()
    for name in sorted(before - wanted):
        (target / name).unlink(missing_ok=True)
    for name in sorted(wanted):
        source, copy = ROOT / name, target / name
        if not source.is_file():
            continue  # deleted, and not committed yet
        if copy.exists() and copy.read_bytes() == source.read_bytes():
            continue  # its time stays, so that nothing is built anew
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    record.write_text("\n".join(sorted(wanted)))
    # Tests ask git what belongs to the sources. Nothing is ever committed there.
    (target / ".git" / "index.lock").unlink(missing_ok=True)  # of a git that was killed
    for command in ("init", "--quiet"), ("add", "--all"):
        subprocess.run(["git", *command], cwd=target, check=True)


def run(
    root: Path,
    command: list[str],
    variables: dict[str, str],
    *,
    folder: str = SOURCES,
    quiet: bool = False,
) -> int:
    """Runs a command inside, with these variables in its environment. Returns its status.

    What a quiet one prints is shown only when it has failed.
    """
    bundle = Path("/", CERTIFICATES)
    if bundle.is_file():
        shutil.copy(bundle, root / CERTIFICATES)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **variables,
    }
    for name, value in os.environ.items():
        if name in KEPT or (name.startswith("PIP_") and name != "PIP_FIND_LINKS"):
            environment[name] = value
    inside = ["sh", "-c", INSIDE, "sh", str(root), folder, *command]
    status, output = call_inside(inside, environment, capture=quiet)
    if status != 0 and quiet:
        print(output, flush=True)
    return status


def call_inside(
    command: list[str], environment: dict[str, str] | None = None, *, capture: bool = False
) -> tuple[int, str]:
    """Runs a command in namespaces of its own. Returns its status, and what it printed if captured.

    What is mounted there is mounted there alone. If an exception ends the wait, as a signal's does,
    everything that was started has ended, too, when this returns.
    """
    with subprocess.Popen(
        [*OWN, *command],
        env=environment,
        stdin=subprocess.DEVNULL if capture else None,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        text=True,
    ) as process:
        try:
            output = process.communicate()[0]
        except BaseException:
            end(process)
            raise
    return process.returncode, output or ""


def end(process: subprocess.Popen[str]) -> None:
    """Kills the first process inside, which ends when all others there have ended."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        for child in children.read_text().split():  # one, as soon as unshare(1) has come so far
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        time.sleep(0.01)


def notice_signals() -> None:
    """Turns signals that would end this process, and weren't ignored before, into Ended."""

    def on_signal(number: int, _frame: object) -> None:
        for each in ENDING:  # the first decides
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, on_signal)


def die_of(number: int) -> None:
    """Ends by the signal itself, so that a shell or make sees what has happened."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--with", dest="packages", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "debian")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("a command is needed")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Ended as ended:
        die_of(ended.number)
