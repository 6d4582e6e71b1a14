"""The build: what is rebuilt and when, what the errors say, what is delivered."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fluvial._core
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import crates  # noqa: E402
import docs_assets  # noqa: E402
import missing  # noqa: E402
import native  # noqa: E402
import vendor  # noqa: E402

# Python's own structures that its API wants writable, and the table by which signals' handlers,
# which are handed nothing, find their guard (app/stop_guard.c); everything else of ours is const.
WRITABLE = re.compile(r"_(methods|members|getset|slots|spec|def)$|^lto_priv")

OPENSSL = native.Library(name="openssl", minimum="3.0", header="openssl/ssl.h", debian="libssl-dev")
ZLIB = native.Library(name="zlib", minimum="1.2.12", header="zlib.h", debian="zlib1g-dev")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Runs a command of a plain release build, whatever flavour the tests themselves run with."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("FLUVIAL_", "LD_PRELOAD"))}
    keep.pop("PYTHONPATH", None)
    keep["FLUVIAL_LTO"] = "0"
    done = subprocess.run(command, cwd=cwd, env=keep, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(the extension, the folder of its object files)"""
    target = tmp_path_factory.mktemp("release")
    run(sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", target)
    (extension,) = target.rglob("_core*.so")
    version = ".".join(map(str, sys.version_info[:3]))
    (objects,) = (ROOT / "build").glob(f"cpython-{version}{sys.abiflags}-*-release")
    return extension, objects


# ---- What is delivered ----------------------------------------------------------------------


def test_version_has_one_source() -> None:
    assert importlib.metadata.version("fluvial") == fluvial.__version__


def test_extension_exports_only_its_init_function(release: tuple[Path, Path]) -> None:
    lines = run("nm", "--dynamic", "--defined-only", "--format=posix", release[0]).splitlines()
    assert [line.split()[0] for line in lines] == ["PyInit__core"]


def test_extension_needs_only_known_libraries(release: tuple[Path, Path]) -> None:
    dynamic = run("readelf", "--dynamic", "--wide", release[0])
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\.so", dynamic))
    system = {"libc", "libpthread", "libdl", "librt", "libm"}
    codings = {"libz", "libbrotlienc", "libbrotlidec", "libzstd"}
    assert needed - system == codings | {"libssl", "libcrypto", "libnghttp2"}


def test_no_mutable_globals(release: tuple[Path, Path]) -> None:
    """State belongs to the module: see ext/state.h."""
    sources = sorted((ROOT / "ext").rglob("*.c"))
    assert sources
    found = []
    for source in sources:
        made = release[1] / source.relative_to(ROOT / "ext").with_suffix(".o")
        for line in run("nm", "--format=sysv", made).splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) != 7 or not fields[6].startswith((".data", ".bss", ".tbss", "*COM*")):
                continue
            name = fields[0].split(".")[0]
            if not fields[6].startswith(".data.rel.ro") and not WRITABLE.search(name):
                found.append(f"{source.relative_to(ROOT)}: {name} in {fields[6]}")
    assert found == []


def test_wheel_holds_the_core_and_no_sources(tmp_path: Path) -> None:
    run(sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", tmp_path)
    (wheel,) = tmp_path.glob("fluvial-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if re.fullmatch(r"fluvial/_core\..*\.so", name)]
    assert {"fluvial/__init__.py", "fluvial/_core.pyi", "fluvial/py.typed"} <= set(names)
    assert [name for name in names if name.endswith((".c", ".h", ".a"))] == []
    assert [name for name in names if name.endswith("LICENSE")]
    assert page_files() <= {name.removeprefix("fluvial/openapi/assets/") for name in names}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with native.alone(ROOT / "build" / "sdist"):  # whose files are gathered in the project
        run(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", folder)
    (archive,) = folder.glob("fluvial-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_sdist_holds_all_that_the_repository_does(sdist: Path) -> None:
    tracked = run("git", "ls-files").splitlines()
    assert [
        name for name in tracked if (ROOT / name).exists() and not (sdist / name).exists()
    ] == []


def test_sdist_holds_all_that_a_build_fetches(sdist: Path) -> None:
    pages = sdist / "pysrc/fluvial/openapi/assets"
    assert [name for name in page_files() if not (pages / name).is_file()] == []
    own = {"nghttp2"} if crates.has_nghttp2() else set()  # cargo fetches it
    assert {path.name for path in (sdist / "vendor").iterdir()} == set(vendor.PINS) | own
    for name in own:
        assert (sdist / "vendor" / name / "COPYING").is_file()
        assert not (sdist / "vendor" / name / "tests").exists()
        present = {path.name for path in (sdist / "vendor" / name / "lib").iterdir()}
        assert set(crates.NGHTTP2_SOURCES) <= present
    assert (sdist / "vendor/libuv/LICENSE").is_file()
    assert (sdist / "vendor/llhttp/LICENSE").is_file()
    assert not (sdist / "vendor/libuv/test").exists()


@pytest.mark.timeout(600)  # everything is compiled
def test_sdist_is_built_and_packed_again_without_a_network(sdist: Path, tmp_path: Path) -> None:
    """No cache either. The index and npm's registry are a closed port, where there still is one."""
    closed = "http://127.0.0.1:9"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLUVIAL_", "PIP_", "LD_"))}
    env.pop("PYTHONPATH", None)
    env |= {"PIP_INDEX_URL": closed, "npm_config_registry": closed, "https_proxy": closed}
    env |= {"PIP_NO_CACHE_DIR": "1", "npm_config_cache": str(tmp_path)}
    env |= {"FLUVIAL_DEBUG": "1", "CFLAGS": "-O0 -g0"}  # which is compiled soonest
    alone = ["unshare", "--net"] if subprocess.call(["unshare", "--net", "true"]) == 0 else []
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    for command in (
        [*pip, "--wheel-dir", tmp_path, sdist],
        [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", tmp_path],
    ):
        done = subprocess.run(
            [*alone, *command], cwd=sdist, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        assert "missing" not in done.stdout
    (wheel,) = tmp_path.glob("fluvial-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if re.fullmatch(r"fluvial/_core\..*\.so", name)]
    assert page_files() <= {name.removeprefix("fluvial/openapi/assets/") for name in names}
    (again,) = tmp_path.glob("fluvial-*.tar.gz")
    with tarfile.open(again) as tar:
        inner = {name.partition("/")[2] for name in tar.getnames()}
    files = {path.relative_to(sdist) for path in sdist.rglob("*") if path.is_file()}
    assert {str(path) for path in files if path.parts[0] in ("ext", "vendor", "pysrc")} <= inner


def page_files() -> set[str]:
    """Those that the documentation pages load, below the folder of assets."""
    return {
        f"{package.folder}/{Path(name).name}"
        for package in docs_assets.PACKAGES
        for name in package.files
    }


@pytest.fixture
def no_assets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder of archives, and another one of assets that isn't there yet."""
    monkeypatch.setenv("FLUVIAL_VENDOR_CACHE", str(tmp_path))
    monkeypatch.setattr(docs_assets, "ASSETS", tmp_path / "assets")
    return tmp_path


def test_a_build_without_npm_goes_on(
    monkeypatch: pytest.MonkeyPatch, no_assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert not docs_assets.install()
    assert "npm, which isn't installed" in capsys.readouterr().out


def test_page_files_that_are_not_what_was_pinned(
    monkeypatch: pytest.MonkeyPatch, no_assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(package: docs_assets.Package, folder: Path) -> None:
        (folder / package.archive).write_bytes(b"other")

    monkeypatch.setattr(docs_assets, "_download", download)
    assert not docs_assets.install()
    assert "SHA-256 is" in capsys.readouterr().out
    assert not (no_assets / "assets").exists()


def test_page_files_of_an_earlier_version_go(no_assets: Path) -> None:
    for package in docs_assets.PACKAGES:
        (no_assets / "assets" / package.folder).mkdir(parents=True)
    old = no_assets / "assets" / "redoc@1.0.0"
    old.mkdir()
    assert docs_assets.install()
    assert not old.exists()


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="not `make asan`")
def test_the_sanitized_core_is_the_one_tested() -> None:
    assert "__asan_init" in run("nm", "--dynamic", fluvial._core.__file__)


# ---- What is rebuilt ------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "one.h").write_text("#define ONE 1\n")
    (tmp_path / "one.c").write_text('#include "one.h"\nint one(void) { return ONE; }\n')
    (tmp_path / "two.c").write_text("int two(void) { return 2; }\n")
    return tmp_path


def compile_all(folder: Path, *flags: str) -> list[str]:
    """Compiles the project; returns the names of the objects that were made anew."""
    objects = {folder / f"{name}.o": (folder / f"{name}.c", list(flags)) for name in ("one", "two")}
    before = {path: path.stat().st_mtime_ns if path.exists() else 0 for path in objects}
    native.Toolchain().compile(objects)
    return [path.stem for path in objects if path.stat().st_mtime_ns != before[path]]


def touch(path: Path, newer_than: Path) -> None:
    stamp = newer_than.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(stamp, stamp))


def test_objects_are_compiled_once(project: Path) -> None:
    assert compile_all(project) == ["one", "two"]
    assert compile_all(project) == []


def test_a_changed_header_recompiles_what_includes_it(project: Path) -> None:
    compile_all(project)
    touch(project / "one.h", newer_than=project / "one.o")
    assert compile_all(project) == ["one"]


def test_a_header_that_changes_while_it_is_compiled_recompiles(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an editor or a checkout does it during a build."""
    (cc,) = native.find_command("CC", "cc")[-1:]
    compiler = project / "compiler"
    header, done = project / "one.h", project / "done"
    edit = f"[ -e {done} ] || echo '#define ONE 2' >{header}; : >{done}"
    compiler.write_text(f'#!/bin/sh\nset -e\n{cc} "$@"\n{edit}\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert "one" in compile_all(project)
    assert "one" in compile_all(project)
    assert compile_all(project) == []


def test_two_builds_of_one_kind_come_one_after_the_other(tmp_path: Path) -> None:
    """The second would otherwise link what the first compiles from an older header."""
    python = f"cpython-{'.'.join(map(str, sys.version_info[:3]))}{sys.abiflags}"
    folder = ROOT / "build" / f"{python}-{platform.machine()}-debug"
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", tmp_path]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLUVIAL_", "LD_PRELOAD"))}
    pipe: dict[str, Any] = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True}
    env["FLUVIAL_DEBUG"] = "1"
    with native.alone(folder / "build"), subprocess.Popen(command, env=env, **pipe) as second:
        said = next((line for line in second.stderr if "another build" in line), "")
        second.kill()
    assert str(folder) in said


def test_a_header_that_is_gone_recompiles_too(project: Path) -> None:
    compile_all(project)
    (project / "one.c").write_text("int one(void) { return 1; }\n")
    (project / "one.h").unlink()
    assert compile_all(project) == ["one"]


def test_changed_flags_recompile_everything(project: Path) -> None:
    compile_all(project)
    assert compile_all(project, "-O1") == ["one", "two"]


def test_a_failed_compilation_is_tried_again(project: Path) -> None:
    (project / "two.c").write_text("int two(void) { return }\n")
    for _ in range(2):
        with pytest.raises(native.BuildError, match=r"two\.c"):
            compile_all(project)


FLAVOURS = [
    ({}, "release-lto"),
    ({"FLUVIAL_LTO": "0"}, "release"),
    ({"FLUVIAL_DEBUG": "1"}, "debug"),
    ({"FLUVIAL_SANITIZE": "undefined,address"}, "sanitize-address-undefined"),
]


@pytest.mark.parametrize(("env", "expected"), FLAVOURS)
def test_flavours_do_not_share_folders(env: dict[str, str], expected: str) -> None:
    assert native.Flavour.from_environment(env, optimise=True).name == expected


def test_builds_in_place_do_without_link_time_optimisation() -> None:
    assert native.Flavour.from_environment({}, optimise=False).name == "release"
    assert native.Flavour.from_environment({"FLUVIAL_LTO": "1"}, optimise=False).ldflags


def test_flags_that_the_compiler_does_not_know() -> None:
    assert native.Toolchain().accepts(["-O1"])
    assert not native.Toolchain().accepts(["-fno-such-flag"])


# ---- What the errors say --------------------------------------------------------------------


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(native.BuildError, match="apt-get install gcc"):
        native.Toolchain()


def test_all_that_is_missing_is_named_once_in_the_last_line(sdist: Path, tmp_path: Path) -> None:
    """By pip. What a header's absence looks like without a compiler is another test's."""
    env = {k: v for k, v in os.environ.items() if k not in ("CC", "AR", "PKG_CONFIG")}
    env |= {"PATH": str(tmp_path), "FLUVIAL_PYTHON_HEADERS": str(tmp_path)}
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", tmp_path, sdist], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert output.count("missing") == 1
    *_, last = output.partition("[end of output]")[0].strip().splitlines()
    version = ".".join(map(str, sys.version_info[:2]))
    for words in (
        *("error: Fluvial can't be compiled", "a C compiler", "ar,", "Python.h of", "pkg-config"),
        f"(Debian: apt-get install gcc libc6-dev binutils python{version}-dev pkg-config",
    ):
        assert words in last


def test_missing_headers_are_named_without_compiler_and_pkg_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CC", "AR", "PKG_CONFIG", "CPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(missing, "INCLUDE", (tmp_path,))
    (tmp_path / "zlib.h").touch()
    with pytest.raises(native.BuildError) as raised:
        missing.check([OPENSSL, ZLIB])
    assert "a C compiler, ar, pkg-config, openssl >= 3.0 (" in str(raised.value)
    assert "zlib" not in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "system", "at_hand", "expected"),
    [
        (None, True, True, "system"),
        (None, False, True, "own"),
        (None, False, False, ""),
        ("0", True, True, ""),
        ("0", False, True, ""),
        ("1", True, True, "system"),
        ("1", False, False, "own"),  # and the build fails, saying why it can't be had
        ("own", True, False, "own"),
    ],
)
def test_which_nghttp2_is_taken(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, system: bool, at_hand: bool, expected: str
) -> None:
    monkeypatch.setattr(native, "has_library", lambda library: system)
    monkeypatch.setattr(native, "pkg_config", lambda library: ([], []))
    monkeypatch.delenv("FLUVIAL_HTTP2", raising=False)
    if wanted is not None:
        monkeypatch.setenv("FLUVIAL_HTTP2", wanted)
    own = native.own_http2(lambda: at_hand)
    assert ("system" if native.http2() else "own" if own else "") == expected


def test_missing_header_of_a_library(project: Path) -> None:
    (project / "two.c").write_text('#include "no-such-folder/uv.h"\n')
    with pytest.raises(native.BuildError, match="apt-get install libuv1-dev"):
        compile_all(project)


def test_a_library_that_pkg_config_does_not_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "pkg-config"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PKG_CONFIG", str(tool))
    expected = r"missing openssl >= 3\.0, zlib >= 1\.2\.12 .* install libssl-dev zlib1g-dev\)"
    with pytest.raises(native.BuildError, match=expected):
        missing.check([OPENSSL, ZLIB])


def test_a_system_libuv_that_is_too_old(tmp_path: Path) -> None:
    """As Debian 12 has it. The build says which version is wanted and which is there."""
    lines = ("Name: libuv", "Description: events", "Version: 1.44.2", "Libs: -luv", "")
    (tmp_path / "libuv.pc").write_text("\n".join(lines))
    env = {key: value for key, value in os.environ.items() if not key.startswith("LD_PRELOAD")}
    env |= {"FLUVIAL_LIBUV": "system", "PKG_CONFIG_PATH": str(tmp_path)}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", tmp_path]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "missing libuv >= 1.46 (found 1.44.2)" in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.rglob("_core*.so"))


@pytest.mark.parametrize("use", [lambda folder: vendor.fetch("llhttp"), vendor.bundle])
def test_sources_that_are_not_what_was_pinned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, use: Callable[[Path], object]
) -> None:
    def tampered(pin: vendor.Pin, folder: Path) -> None:
        (folder / pin.archive).write_bytes(b"something else")

    monkeypatch.setenv("FLUVIAL_VENDOR_CACHE", str(tmp_path))
    monkeypatch.setattr(vendor, "VENDOR", tmp_path)
    monkeypatch.setattr(vendor, "_download", tampered)
    with pytest.raises(vendor.VendorError, match="SHA-256"):
        use(tmp_path / "bundle")
    assert not list(tmp_path.rglob("llhttp*"))


def test_nothing_fetched_is_kept_in_the_repository() -> None:
    tracked = run("git", "ls-files", "build", "pysrc/fluvial/openapi/assets")
    assert tracked == ""
