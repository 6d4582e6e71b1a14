"""Fetches the C sources that Fluvial compiles in: llhttp and libuv.

Both travel inside source distributions on PyPI. `fetch()` downloads the pinned archive with pip,
checks its SHA-256, and unpacks the one folder that is needed under build/vendor. Archives are
kept in build/vendor too, or in the folder that FLUVIAL_VENDOR_CACHE names, so that several
checkouts can share them. A source distribution of ours has them in its folder vendor (`bundle()`).

    python scripts/vendor.py libuv      fetches it if necessary and prints where it is
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "build" / "vendor"
BUNDLED = ROOT / "vendor"  # only in source distributions

# What of them is compiled.
LLHTTP_SOURCES = ("api.c", "http.c", "llhttp.c")
LIBUV_SOURCES = (
    *("fs-poll.c", "idna.c", "inet.c", "random.c", "strscpy.c", "strtok.c", "thread-common.c"),
    *("threadpool.c", "timer.c", "uv-common.c", "uv-data-getter-setters.c", "version.c"),
    *("unix/async.c", "unix/core.c", "unix/dl.c", "unix/fs.c", "unix/getaddrinfo.c"),
    *("unix/getnameinfo.c", "unix/loop-watcher.c", "unix/loop.c", "unix/pipe.c"),
    *("unix/poll.c", "unix/process.c", "unix/random-devurandom.c", "unix/signal.c"),
    *("unix/stream.c", "unix/tcp.c", "unix/thread.c", "unix/tty.c", "unix/udp.c"),
)


class VendorError(RuntimeError):
    """A source could not be fetched, or is not what was pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One folder of one source distribution."""

    dist: str
    version: str
    sha256: str
    folder: str

    @property
    def requirement(self) -> str:
        return f"{self.dist}=={self.version} --hash=sha256:{self.sha256}"

    @property
    def archive(self) -> str:
        return f"{self.dist}-{self.version}.tar.gz"


PINS = {
    "llhttp": Pin(
        dist="httptools",
        version="0.9.0",
        sha256="d484ebb7e3a3f3597b0f645fbd1b85633674ca808c1f5ba11c2caf7c66f5c8b6",
        folder="vendor/llhttp",
    ),
    "libuv": Pin(
        dist="uvloop",
        version="0.23.0",
        sha256="28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27",
        folder="vendor/libuv",
    ),
}


def fetch(name: str) -> Path:
    """Returns the folder with the sources of `name`, downloading them the first time."""
    bundled = BUNDLED / name
    return bundled if bundled.is_dir() else fetch_pin(name, PINS[name])


def bundle(folder: Path) -> None:
    """Puts what is compiled in, and the licences, into `folder`, anew from the pinned archives."""
    for name, pin in PINS.items():
        if BUNDLED.is_dir():  # a source distribution is made of another one
            shutil.copytree(BUNDLED / name, folder / name)
        else:
            _unpack(_fetch_archive(pin), pin, folder / name, only=("include", "src", "LICENSE*"))


def fetch_pin(name: str, pin: Pin) -> Path:
    """The same for a source that isn't one of PINS; `folder` is empty for the whole archive."""
    target = VENDOR / f"{name}-{pin.sha256[:12]}"
    if not target.is_dir():
        _unpack(_fetch_archive(pin), pin, target)
    return target


def _fetch_archive(pin: Pin) -> Path:
    return archive(pin.archive, pin.sha256, partial(_download, pin))


def archive(name: str, sha256: str, download: Callable[[Path], None]) -> Path:
    """The file `name` with this hash in the cache, or what `download(folder)` puts into a folder.

    Raises: VendorError when the hash is another one.
    """
    cache = Path(os.environ.get("FLUVIAL_VENDOR_CACHE") or VENDOR)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / name
    if not path.is_file() or digest(path) != sha256:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            download(Path(scratch))
            os.replace(Path(scratch) / name, path)
    found = digest(path)
    if found != sha256:
        raise VendorError(f"{path}: SHA-256 is {found}, expected {sha256}")
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _download(pin: Pin, folder: Path) -> None:
    """pip, rather than a URL of our own, so that the user's index and proxy settings count."""
    requirements = folder / "requirements.txt"
    requirements.write_text(pin.requirement + "\n")
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
        *("--no-deps", "--no-binary", pin.dist, "--no-build-isolation", "--require-hashes"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    print(f"fetching {pin.dist} {pin.version} for {pin.folder}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise VendorError(f"could not fetch {pin.dist} {pin.version} with pip:\n{output}")


def _unpack(archive: Path, pin: Pin, target: Path, *, only: tuple[str, ...] = ("*",)) -> None:
    """Only regular files, and only those below the pinned folder: of that, these names."""
    prefix = PurePosixPath(f"{pin.dist}-{pin.version}") / pin.folder
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            content = tar.extractfile(member) if member.isfile() else None
            if content is None or not name.is_relative_to(prefix) or ".." in name.parts:
                continue
            inner = name.relative_to(prefix)
            if any(fnmatch(inner.parts[0], pattern) for pattern in only):
                path = Path(scratch, "unpacked", inner)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
        try:
            Path(scratch, "unpacked").rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise


if __name__ == "__main__":
    for argument in sys.argv[1:] or PINS:
        print(fetch(argument))
