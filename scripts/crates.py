"""Fetches C sources that lie within packages of crates.io: OpenSSL, zlib and nghttp2.

They are there for Rust's sake; what is there stays there, under the same hash. cargo fetches them,
so that the user's registry and proxy settings count.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vendor import BUNDLED, VENDOR, VendorError, archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    """One package of crates.io, and the folder of it that is wanted."""

    name: str
    version: str
    sha256: str
    folder: str
    licence: str  # a file of that folder

    @property
    def archive(self) -> str:
        return f"{self.name}-{self.version}.crate"


OPENSSL = Crate(
    name="openssl-src",
    version="300.6.1+3.6.3",
    sha256="46eb8fb9fb3b61ce1c0f8a026c4c1a0714d3a9e138e7fbde78753ce2babc3846",
    folder="openssl",
    licence="LICENSE.txt",
)
ZLIB = Crate(
    name="libz-sys",
    version="1.1.33",
    sha256="fee3f59f4321dab0c78d828942e7aa09d0bd8ad6e78a501977e6bf3d02938045",
    folder="src/zlib",
    licence="LICENSE",
)
NGHTTP2 = Crate(
    name="libnghttp2-sys",
    version="0.1.13+1.68.1",
    sha256="492e00167f1418c15648144f42bbfc63099806ecee9bf8d09a6353d6b4856b3c",
    folder="nghttp2",
    licence="COPYING",
)

# What of nghttp2 is compiled, and by which definitions.
NGHTTP2_SOURCES = (
    *("nghttp2_alpn.c", "nghttp2_buf.c", "nghttp2_callbacks.c", "nghttp2_debug.c"),
    *("nghttp2_extpri.c", "nghttp2_frame.c", "nghttp2_hd.c", "nghttp2_hd_huffman.c"),
    *("nghttp2_hd_huffman_data.c", "nghttp2_helper.c", "nghttp2_http.c", "nghttp2_map.c"),
    *("nghttp2_mem.c", "nghttp2_option.c", "nghttp2_outbound_item.c", "nghttp2_pq.c"),
    *("nghttp2_priority_spec.c", "nghttp2_queue.c", "nghttp2_ratelim.c", "nghttp2_rcbuf.c"),
    *("nghttp2_session.c", "nghttp2_stream.c", "nghttp2_submit.c", "nghttp2_time.c"),
    *("nghttp2_version.c", "sfparse.c"),
)
NGHTTP2_DEFINES = (
    *("NGHTTP2_STATICLIB", "HAVE_ARPA_INET_H", "HAVE_NETINET_IN_H", "HAVE_TIME_H"),
    *("HAVE_CLOCK_GETTIME", "HAVE_DECL_CLOCK_MONOTONIC=1"),
)


def licence(crate: Crate) -> Path:
    return fetch(crate) / crate.licence


def fetch(crate: Crate) -> Path:
    """Returns the folder with the sources, downloading them the first time."""
    target = VENDOR / f"{crate.name}-{crate.sha256[:12]}"
    if not target.is_dir():
        found = archive(crate.archive, crate.sha256, partial(_download, crate))
        VENDOR.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=VENDOR) as scratch, tarfile.open(found) as tar:
            tar.extractall(scratch, filter="data")
            folder = Path(scratch, found.name.removesuffix(".crate"), crate.folder)
            if crate == NGHTTP2:
                _configure_nghttp2(folder)
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    return target


def nghttp2() -> Path:
    """The folder with nghttp2's sources: those that a source distribution has, or the crate's."""
    bundled = BUNDLED / "nghttp2"
    return bundled if bundled.is_dir() else fetch(NGHTTP2)


def has_nghttp2() -> bool:
    """Whether they are at hand or can be had. Says so when they can't."""
    try:
        nghttp2()
    except VendorError as error:
        print(f"fluvial: no HTTP/2: {error}", file=sys.stderr)
        return False
    return True


def bundle(folder: Path) -> None:
    """Puts what is compiled of nghttp2, and its licence, into `folder`/nghttp2."""
    source, target = nghttp2(), folder / "nghttp2"
    shutil.copytree(
        source / "lib", target / "lib", ignore=lambda _, names: [n for n in names if not is_c(n)]
    )
    shutil.copy(source / NGHTTP2.licence, target)


def is_c(name: str) -> bool:
    """Whether it is a file of C, or a folder of them."""
    return Path(name).suffix in (".c", ".h", "")


def nghttp2_flags(folder: Path) -> list[str]:
    """What nghttp2's own files, and files that include its header, are compiled with."""
    return [
        *("-isystem", str(folder / "lib" / "includes")),
        *(f"-D{define}" for define in NGHTTP2_DEFINES),
    ]


def _configure_nghttp2(folder: Path) -> None:
    """Makes the one header that its configure script would make."""
    version = NGHTTP2.version.partition("+")[2]
    number = "0x" + "".join(f"{int(part):02x}" for part in version.split("."))
    header = folder / "lib" / "includes" / "nghttp2" / "nghttp2ver.h"
    words = {"PACKAGE_VERSION": version, "PACKAGE_VERSION_NUM": number}
    text = header.with_suffix(".h.in").read_text()
    header.write_text(re.sub(r"@(\w+)@", lambda found: words[found[1]], text))


def _download(crate: Crate, folder: Path) -> None:
    """As a dependency of an empty package: cargo has no command for archives."""
    (folder / "lib.rs").touch()
    version = crate.version.partition("+")[0]
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "empty"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n'
        f'[dependencies]\n{crate.name} = "={version}"\n'
    )
    command = ["cargo", "fetch", "--quiet", "--manifest-path", str(folder / "Cargo.toml")]
    env = {**os.environ, "CARGO_HOME": str(folder / "home")}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise VendorError(f"{crate.name} comes by cargo, which isn't installed") from None
    found = list(folder.glob(f"home/registry/cache/*/{crate.archive}"))
    if done.returncode != 0 or not found:
        raise VendorError(f"could not fetch {crate.archive} with cargo:\n{done.stderr.strip()}")
    found[0].rename(folder / crate.archive)
