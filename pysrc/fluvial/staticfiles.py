"""Files of a directory: `app.mount("/static", StaticFiles(directory="static"), name="static")`."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import os
import re
import stat
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._application.matching import path_below
from ._calling.threads import run_internal
from .datastructures import Headers
from .exceptions import HTTPException
from .responses import FileResponse, RedirectResponse, Response, without_content

if TYPE_CHECKING:
    from ._asgi.protocol import Message, Receive, Send
    from ._messages.header_fields import RawHeaders

__all__ = ["PathLike", "StaticFiles"]

PathLike = str | os.PathLike[str]
FALLBACKS = ("auto", "index.html", "404.html", None)
_READ_METHODS = ("GET", "HEAD")
# The errors of operating systems for a path that can't be a file's.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
# Siblings of a file in content codings, the best first; served_file.c has the same.
_SIBLINGS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
# Names with a hash of their content as build tools write it: app.3f2a9c1b.js, app-3f2a9c1b.js. Only
# hexadecimal ones with a digit and a letter: a word or a date is no hash, nor is the end of a UUID.
_HASHED = r"(?<!-[0-9a-f]{4})[.-](?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,64}\."
_FOR_EVER = "max-age=31536000, immutable"  # RFC 8246


class StaticFiles:
    """An ASGI app that serves the files below `directory`, and those of `packages`.

    An entry of `packages` is the name of one, whose files are in its folder "statics", or (name,
    folder). Nothing outside these directories is served: a symbolic link that leads out of them is
    followed only with `follow_symlink`. With `html`, a directory is served as its index.html, and a
    missing file as 404.html. Files have ETag and Last-Modified; see FileResponse.

    With `precompressed` a client that accepts br, zstd or gzip gets the sibling app.js.br,
    app.js.zst or app.js.gz of app.js, unless it is older than the file by over two seconds. Files
    whose name has a hash of their content are `immutable`: browsers ask for them once a year. A
    text is a regular expression for such names.

    Mounted in an App on Fluvial's server, `directory` is served without Python code per request.
    The last `cached_files` (256; 0: none) are kept, small ones of up to `cached_bytes` (16 MiB) in
    all with their content. Each is looked at before it is served, so a changed file isn't stale.

    Raises: RuntimeError when the directory doesn't exist, unless `check_dir` is false; ValueError
    for a negative number; re.error for a wrong expression.
    """

    def __init__(
        self,
        *,
        directory: PathLike | None = None,
        packages: Sequence[str | tuple[str, str]] | None = None,
        html: bool = False,
        check_dir: bool = True,
        follow_symlink: bool = False,
        precompressed: bool = True,
        immutable: bool | str = True,
        cached_files: int = 256,
        cached_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        if cached_files < 0 or cached_bytes < 0:
            raise ValueError("cached_files and cached_bytes must not be negative")
        self.directory = directory
        self.packages = packages
        self.html = html
        self.follow_symlink = follow_symlink
        self.precompressed = precompressed
        self._hashed = _hashed_names(immutable)
        self.all_directories = self.get_directories(directory, packages)
        if check_dir and directory is not None and not os.path.isdir(directory):
            where = os.path.realpath(directory)
            raise RuntimeError(f"Directory '{directory}' does not exist; it would be {where}")
        self._checked = check_dir
        self._cached = (cached_files, cached_bytes)

    def get_directories(
        self,
        directory: PathLike | None = None,
        packages: Sequence[str | tuple[str, str]] | None = None,
    ) -> list[PathLike]:
        """All directories that are served. Raises: RuntimeError for a package that has none."""
        found: list[PathLike] = [] if directory is None else [directory]
        for package in packages or ():
            name, folder = (package, "statics") if isinstance(package, str) else package
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                raise RuntimeError(f"Package {name!r} could not be found.")
            path = os.path.join(os.path.dirname(spec.origin), folder)
            if not os.path.isdir(path):
                raise RuntimeError(f"Directory {folder!r} in package {name!r} could not be found.")
            found.append(path)
        return found

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if not self._checked:
            self._check_directory()
        response = await self.get_response(self.get_path(scope), scope)
        await response(scope, receive, send)

    def _check_directory(self) -> None:
        """Raises: RuntimeError when the directory doesn't exist, now that it is needed."""
        if self.directory is not None and not os.path.isdir(self.directory):
            raise RuntimeError(f"StaticFiles directory '{self.directory}' does not exist.")
        self._checked = True

    def get_path(self, scope: Message) -> str:
        """The path of the file, below the directory."""
        parts = [part for part in path_below(scope).split("/") if part]
        return os.path.normpath(os.path.join(*parts)) if parts else "."

    async def get_response(self, path: str, scope: Message) -> Response:
        """The response for a path below the directory. Raises: HTTPException when there is none."""
        if scope["method"] not in _READ_METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(_READ_METHODS)})
        full_path, status, redirect = await run_internal(self._find, path, scope["path"])
        if redirect:
            return _redirect(scope)
        if full_path:
            return await self._negotiate(full_path, status, scope)
        if self.html:
            full_path, status = await run_internal(self.lookup_path, "404.html")
            if _is_file(status):
                return await self._negotiate(full_path, status, scope, 404)
        raise HTTPException(404)

    async def _negotiate(
        self,
        full_path: PathLike,
        status: os.stat_result | None,
        scope: Message,
        status_code: int = 200,
    ) -> Response:
        """The response with the file, or with its sibling that the client likes best."""
        response = self.file_response(full_path, status, scope, status_code)
        if self.precompressed and status is not None and isinstance(response, FileResponse):
            siblings = await run_internal(self._siblings, full_path, status)
            accepted = ", ".join(Headers(raw=scope["headers"]).getlist("accept-encoding"))
            coding = _core.choose_coding(accepted, tuple(siblings)) if siblings else None
            _mark_coding(response, coding, bool(siblings))
            if coding is not None:
                response.path = siblings[coding]
        return response

    def _siblings(self, full_path: PathLike, status: os.stat_result) -> dict[str, str]:
        """Where the file's siblings are, by their codings. Older ones are what the file was."""
        found = {}
        for coding, suffix in _SIBLINGS.items():
            path = f"{os.fspath(full_path)}{suffix}"
            with contextlib.suppress(OSError):
                sibling = os.stat(path)
                fresh = int(sibling.st_mtime) + 2 >= int(status.st_mtime)  # as archives round
                if _is_file(sibling) and fresh and self._is_inside(path):
                    found[coding] = path
        return found

    def _is_inside(self, path: str) -> bool:
        """Whether no symbolic link leads out of the directories, unless that is allowed."""
        if self.follow_symlink:
            return True
        bases = (os.path.realpath(os.fspath(each)) for each in self.all_directories)
        full_path = os.path.realpath(path)
        return any(full_path.startswith(os.path.join(base, "")) for base in bases)

    def _find(self, path: str, url_path: str) -> tuple[str, os.stat_result | None, bool]:
        """(the file, its status, whether to redirect to the directory); "" when there is none."""
        try:
            full_path, status = self.lookup_path(path)
            if _is_file(status):
                return full_path, status, False
            if self.html and status is not None and stat.S_ISDIR(status.st_mode):
                full_path, status = self.lookup_path(os.path.join(path, "index.html"))
                if _is_file(status):
                    return full_path, status, not url_path.endswith("/")
        except PermissionError:
            raise HTTPException(401) from None
        except ValueError:  # NUL and other characters that no path has
            pass
        except OSError as exc:
            if exc.errno not in _IMPOSSIBLE:
                raise
        return "", None, False

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where the path is in one of the directories, and its status; ("", None) if nowhere.

        Raises: OSError or ValueError when it can't be looked at.
        """
        if path.startswith(("/", "\\")):
            return "", None
        resolve = os.path.abspath if self.follow_symlink else os.path.realpath
        for directory in self.all_directories:
            base = resolve(os.fspath(directory))
            full_path = resolve(os.path.join(base, path))
            if full_path != base and not full_path.startswith(os.path.join(base, "")):
                continue  # it leads out of the directory
            try:
                return full_path, os.stat(full_path)
            except (FileNotFoundError, NotADirectoryError):
                continue
        return "", None

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result | None,
        scope: Message,
        status_code: int = 200,
    ) -> Response:
        """The response with a file."""
        response = FileResponse(full_path, status_code)
        hashed = self._hashed
        if hashed is not None and status_code == 200 and hashed.search(_name_of(full_path)):
            response.headers.setdefault("cache-control", _FOR_EVER)
        return response


def _hashed_names(immutable: bool | str) -> re.Pattern[str] | None:
    if not immutable:
        return None
    return re.compile(_HASHED if immutable is True else immutable)


def _name_of(path: PathLike) -> str:
    return os.path.basename(os.fspath(path))


def _mark_coding(response: FileResponse, coding: str | None, varies: bool) -> None:
    """What is said of a file that has siblings, or is one."""
    if varies:
        response.headers.add_vary_header("Accept-Encoding")
    if coding is not None:
        response.headers["content-encoding"] = coding


def must_exist(directory: PathLike, check_dir: bool | str) -> bool:
    """Whether the directory of a frontend must exist already; warns where it should."""
    if check_dir != "auto":
        return bool(check_dir)
    if os.environ.get("FASTAPI_ENV") != "development":
        return True
    if not os.path.isdir(directory):
        where = os.path.realpath(directory)
        # The frames above are those of frontend() and of its decorator.
        warnings.warn(f"the directory {where} of a frontend does not exist", stacklevel=4)
    return False


def served_by_core(app: Any, core: _core.AsgiApp, prefix: str) -> _core.StaticFiles | None:
    """What serves `app`, which is mounted at `prefix`, in C; None when only Python code can.

    That is so for subclasses, and for several directories. `core` gets what isn't served in C.
    """
    if type(app) is not StaticFiles or app.packages or app.directory is None or "{" in prefix:
        return None
    files, memory = app._cached
    return _core.StaticFiles(
        core,
        prefix=prefix.encode(),
        directory=os.path.abspath(os.fsencode(app.directory)),
        html=app.html,
        follow=app.follow_symlink,
        precompressed=app.precompressed,
        describe=functools.partial(_describe, app),
        files=files,
        memory=memory,
    )


def _describe(
    app: StaticFiles,
    path: bytes,
    size: int,
    mtime: float,
    mtime_ns: int,
    coding: str,
    varies: bool,
    status_code: int,
) -> tuple[RawHeaders, RawHeaders, bytes, bytes]:
    """(header fields, those of a 304 response, ETag, Last-Modified) of a file."""
    response = app.file_response(os.fsdecode(path), None, {}, status_code)
    assert isinstance(response, FileResponse)
    _mark_coding(response, None if coding == "identity" else coding, varies)
    headers = response._headers_with(size, mtime, mtime_ns)
    etag, modified = headers["etag"].encode(), headers["last-modified"].encode()
    return headers.raw, without_content(headers), etag, modified


class FrontendFiles(StaticFiles):
    """The files of a browser application; see App.frontend.

    Raises: ValueError for another `fallback`, RuntimeError when what is needed doesn't exist.
    """

    def __init__(self, directory: PathLike, fallback: str | None, *, check_dir: bool) -> None:
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback is one of {FALLBACKS}, not {fallback!r}")
        super().__init__(directory=directory, html=True, check_dir=check_dir)
        self.fallback = fallback
        named = fallback if check_dir and fallback != "auto" else None
        if named is not None and not _is_file(self.lookup_path(named)[1]):
            raise RuntimeError(self._without_fallback(named))

    def _without_fallback(self, name: str) -> str:
        where = f"directory '{self.directory}', which is {os.path.realpath(self.directory or '')}"
        return f"Frontend fallback file {name!r} does not exist in the {where}"

    async def get_response(self, path: str, scope: Message) -> Response:
        """The file, or the fallback for a missing one. Raises: HTTPException when there is none."""
        full_path, status, redirect = await run_internal(self._find, path, scope["path"])
        if scope["method"] not in _READ_METHODS:
            raise HTTPException(405 if full_path else 404)
        if redirect:
            return _redirect(scope)
        if full_path:
            return await self._negotiate(full_path, status, scope)
        names = (self.fallback,) if self.fallback != "auto" else ("404.html", "index.html")
        for name in names:
            if name is None or (name == "index.html" and not _wants_page(scope)):
                continue
            full_path, status = await run_internal(self.lookup_path, name)
            if _is_file(status):
                status_code = 404 if name == "404.html" else 200
                return await self._negotiate(full_path, status, scope, status_code)
            if self.fallback != "auto":
                raise RuntimeError(self._without_fallback(name))
        raise HTTPException(404)


def _wants_page(scope: Message) -> bool:
    """Whether the request is that of a browser's address bar, or a link in a page."""
    for value in Headers(raw=scope["headers"]).get("accept", "").split(","):
        media_type, *parameters = value.replace(" ", "").lower().split(";")
        refused = any(each.rstrip("0.") in ("q=", "q") for each in parameters)
        if media_type in ("text/html", "application/xhtml+xml") and not refused:
            return True
    return False


def _is_file(status: os.stat_result | None) -> bool:
    return status is not None and stat.S_ISREG(status.st_mode)


def _redirect(scope: Message) -> Response:
    """To the same path with "/" at its end.

    It is relative, as other redirects to add one are; and a path that began with "//" would be
    another host's.
    """
    raw: Any = scope.get("raw_path")
    path = scope["path"] if raw is None else raw.decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    location = f"/{path.lstrip('/')}/"
    return RedirectResponse(f"{location}?{query}" if query else location)
