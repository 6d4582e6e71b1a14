"""TypeScript's compiler, from npm, pinned by version and SHA-256: fetched when a test needs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from docs_assets import Package, fetch  # noqa: E402

COMPILER = Package(
    name="typescript",
    version="5.9.3",
    sha256="10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3",
    files=(),
)
OPTIONS = (
    *("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"),
    *("--noUnusedLocals", "--noImplicitReturns", "--target", "es2022", "--module", "es2022"),
    *("--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable"),
    "--skipLibCheck",  # the compiler's own libraries, in which there is nothing of ours
)
PATIENCE = 280  # seconds, on a machine that does much else


def compiler() -> Path:
    """The compiler's program, for node."""
    folder = ROOT / "build" / f"{COMPILER.folder}-{COMPILER.version}"
    if not folder.is_dir():
        archive = fetch(COMPILER)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            try:
                os.rename(Path(scratch, "package"), folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    return folder / "bin" / "tsc"


def compile_files(folder: Path, *names: str) -> str:
    """Compiles them, strictly, to modules for node in the same folder; what the compiler says."""
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "types").mkdir(exist_ok=True)
    command = ["node", str(compiler()), *OPTIONS, "--typeRoots", str(folder / "types"), *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout + done.stderr
