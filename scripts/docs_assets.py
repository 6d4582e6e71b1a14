"""Fetches the scripts of the documentation pages: Swagger UI, ReDoc and Scalar.

They come from their npm packages, pinned by version and SHA-256. `install()` has npm download what
is missing, checks it, and puts the few files that are needed into pysrc/fluvial/openapi/assets,
from where they go into wheels and source distributions. Archives are kept where scripts/vendor.py
keeps its own. Without npm or the network the build goes on: the pages then say what is missing.

    python scripts/docs_assets.py       fetches them if necessary and prints where they are
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from vendor import BUNDLED, ROOT, VendorError, archive

ASSETS = ROOT / "pysrc" / "fluvial" / "openapi" / "assets"
TIMEOUT = 120  # seconds for one package


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An npm package, and those of its files that pages load, with the packages' licences.

    `foreign` are the URLs of images on other machines that its scripts would load: they become
    empty ones.
    """

    name: str
    version: str
    sha256: str
    files: tuple[str, ...]
    foreign: tuple[str, ...] = ()

    @property
    def archive(self) -> str:
        """The file that `npm pack` makes."""
        return f"{self.folder.replace('@', '-')}.tgz"

    @property
    def folder(self) -> str:
        """The name of the folder below ASSETS."""
        return f"{self.name.removeprefix('@').replace('/', '-')}@{self.version}"


PACKAGES = (
    Package(
        name="swagger-ui-dist",
        version="5.35.0",
        sha256="1b8e891893404ea4c3558b6a87e2a3e494e7eedba41168c2ece5800a391a6ea6",
        files=(
            *("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"),
            *("oauth2-redirect.js", "LICENSE", "swagger-ui-bundle.js.LICENSE.txt"),
        ),
    ),
    Package(
        name="redoc",
        version="2.5.4",
        sha256="44922df4d0eb45c1b066c09ec251e6bd9bd7ded16bc69e87613337b9d911a56e",
        files=(
            *("bundles/redoc.standalone.js", "bundles/redoc.standalone.js.LICENSE.txt"),
            "LICENSE",
        ),
        foreign=("https://cdn.redoc.ly/redoc/logo-mini.svg",),
    ),
    Package(
        name="@scalar/api-reference",
        version="1.46.4",
        sha256="335d7f2d3a8ebb6b93a0e45142f5ee15965c09826bcacb18aeb1c5c187eedcb5",
        files=("dist/browser/standalone.js", "package.json"),  # which names the licence, MIT
    ),
)


def install() -> bool:
    """Puts what is missing into ASSETS; returns whether all is there."""
    try:
        for package in PACKAGES:
            if not (ASSETS / package.folder).is_dir():
                _unpack(fetch(package), package, ASSETS)
    except VendorError as exc:
        print(f"fluvial: /docs, /redoc and Scalar will say that they are missing: {exc}")
        return False
    for folder in ASSETS.iterdir():  # of an earlier version
        if folder.name not in [package.folder for package in PACKAGES]:
            shutil.rmtree(folder)
    return True


def bundle(folder: Path) -> None:
    """Puts all into `folder`, anew from the pinned archives. Raises VendorError."""
    if BUNDLED.is_dir():  # a source distribution is made of another one, which has them
        return
    shutil.rmtree(folder, ignore_errors=True)
    for package in PACKAGES:
        _unpack(fetch(package), package, folder)


def fetch(package: Package) -> Path:
    """The package's archive, downloaded if necessary. Raises: VendorError."""
    return archive(package.archive, package.sha256, partial(_download, package))


def _download(package: Package, folder: Path) -> None:
    """npm, rather than a URL of our own, so that the user's registry and proxy settings count."""
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError(f"{package.name} comes from npm, which isn't installed (Debian: npm)")
    wanted = f"{package.name}@{package.version}"
    print(f"fetching {wanted} with npm", file=sys.stderr)
    command = [npm, "pack", wanted, "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise VendorError(f"npm did not fetch {wanted} within {TIMEOUT} s") from None
    if done.returncode != 0 or not (folder / package.archive).is_file():
        output = (done.stdout + done.stderr).strip()
        raise VendorError(f"could not fetch {wanted} with npm: {output}")


def _unpack(archive: Path, package: Package, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, tarfile.open(archive) as tar:
        folder = Path(scratch, package.folder)
        folder.mkdir()
        for name in package.files:
            content = tar.extractfile(f"package/{name}")
            assert content is not None, name
            text = content.read()
            for url in package.foreign:
                text = text.replace(url.encode(), b"data:,")
            (folder / Path(name).name).write_bytes(text)
        try:
            folder.rename(target / package.folder)
        except OSError:
            if not (target / package.folder).is_dir():  # else another process was faster
                raise


if __name__ == "__main__":
    if not install():
        raise SystemExit(1)
    print(ASSETS)
