"""Files of forms: where they are, and that they are closed whatever happens."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Depends,
    File,
    Form,
    HTTPException,
    Request,
    StreamingResponse,
    UploadFile,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Serve

SMALL, LARGE = b"x" * 1000, b"x" * (3 << 20)


class Uploads:
    """An app that keeps the files that it has got, and what happened to them in which order."""

    def __init__(self) -> None:
        self.files: list[Any] = []
        self.events: list[str] = []
        self.app = App()
        self.app.post("/params")(self.params)
        self.app.post("/def")(self.in_thread)
        self.app.post("/by-hand")(self.by_hand)
        self.app.post("/fails")(self.fails)
        self.app.post("/refuses")(self.refuses)
        self.app.post("/streams")(self.streams)
        self.app.post("/background")(self.background)

    def took(self, file: UploadFile) -> bytes:
        """Keeps the file itself, without what it belongs to."""
        assert not file.file.closed
        self.files.append(file.file)
        return file.file.read(1)

    async def params(self, file: UploadFile) -> int | None:
        self.took(file)
        return file.size

    def in_thread(self, file: UploadFile) -> int | None:
        self.took(file)
        return file.size

    async def by_hand(self, request: Request) -> Any:
        file = (await request.form())["file"]
        assert isinstance(file, UploadFile)
        self.took(file)
        return file.size

    async def fails(self, file: UploadFile) -> None:
        self.took(file)
        raise HTTPException(418)

    def refuses(self, file: UploadFile) -> None:
        self.took(file)
        raise RuntimeError("as it is meant to")

    async def streams(self, file: UploadFile) -> StreamingResponse:
        self.took(file)

        async def pieces() -> AsyncIterator[bytes]:
            await file.seek(0)
            while piece := await file.read(1 << 20):
                yield piece

        return StreamingResponse(pieces())

    async def background(self, file: UploadFile, tasks: BackgroundTasks) -> str:
        self.took(file)
        tasks.add_task(lambda: self.events.append(f"closed: {file.file.closed}"))
        return "ok"


def closed(uploads: Uploads) -> bool:
    """Whether there are files. Returns when they are closed, which threads may still do."""
    until(lambda: all(file.closed for file in uploads.files))
    return len(uploads.files) > 0


def until(condition: Any) -> None:
    """Waits for something that another thread does. The test's timeout ends it."""
    while not condition():
        threading.Event().wait(0.01)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["memory", "disk"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/params", 200),
        ("/def", 200),
        ("/by-hand", 200),
        ("/fails", 418),
        ("/refuses", 500),
        ("/background", 200),
    ],
)
def test_files_are_closed_after_the_response(
    serve: Serve, path: str, status: int, content: bytes
) -> None:
    uploads = Uploads()
    response = serve(uploads.app).client.post(path, files={"file": content})
    assert response.status_code == status
    assert closed(uploads)
    assert uploads.events in ([], ["closed: False"])
    on_disk = [file._rolled for file in uploads.files]
    assert on_disk == [content is LARGE]


def test_files_stay_open_while_a_response_is_streamed(serve: Serve) -> None:
    uploads = Uploads()
    client = serve(uploads.app).client
    assert client.post("/streams", files={"file": LARGE}).content == LARGE
    assert closed(uploads)


def descriptors() -> set[str]:
    """The files without names that this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:  # closed meanwhile
            continue
        if target.endswith("(deleted)"):
            found.add(target)
    return found


def head(path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    ).encode()


@pytest.mark.parametrize("path", ["/params", "/def", "/by-hand"])
def test_files_are_closed_when_the_client_leaves(serve: Serve, path: str) -> None:
    before = descriptors()
    uploads = Uploads()
    served = serve(uploads.app)
    with served.connect() as sock:
        sock.sendall(head(path, 100 << 20) + LARGE)
        until(lambda: descriptors() - before)
    until(lambda: not descriptors() - before)
    assert uploads.files == []
    assert served.client.post(path, files={"file": SMALL}).status_code == 200


def test_files_are_closed_when_the_form_is_malformed(serve: Serve) -> None:
    before = descriptors()
    client = serve(Uploads().app).client
    content = head("", 0).partition(b"\r\n\r\n")[2] + LARGE + b"\r\n--b\r\nno header\r\n\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/params", content=content, headers=headers).status_code == 400
    until(lambda: not descriptors() - before)
    truncated = content.partition(b"\r\n--b\r\nno")[0]
    assert client.post("/params", content=truncated, headers=headers).status_code == 400
    until(lambda: not descriptors() - before)


def test_files_are_closed_when_a_parameter_is_refused(serve: Serve) -> None:
    before = descriptors()
    app = App()
    seen: list[Any] = []

    def keep(file: Annotated[UploadFile, File()]) -> None:
        seen.append(file.file)

    @app.post("/", dependencies=[Depends(keep)])
    async def handler(n: Annotated[int, Form()]) -> None: ...

    client = serve(app).client
    assert client.post("/", files={"file": LARGE}, data={"n": "x"}).status_code == 422
    until(lambda: seen and seen[0].closed)
    assert not descriptors() - before


def test_files_are_closed_when_the_handler_is_cancelled(serve: Serve) -> None:
    app = App()
    seen: list[Any] = []

    @app.post("/")
    async def handler(file: UploadFile) -> None:
        seen.append(file.file)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    client = serve(app).client
    assert client.post("/", files={"file": LARGE}).status_code == 500
    until(lambda: seen[0].closed)


def test_a_block_closes_its_form(serve: Serve) -> None:
    app = App()

    @app.post("/")
    async def handler(request: Request) -> Any:
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            inside = file.file.closed
        return [inside, file.file.closed]

    client = serve(app).client
    for content in (SMALL, LARGE):
        assert client.post("/", files={"file": content}).json() == [False, True]


def test_nothing_of_a_form_outlives_its_request(serve: Serve) -> None:
    app = App()
    forms: list[weakref.ref[Any]] = []

    @app.post("/")
    async def handler(request: Request, file: UploadFile) -> None:
        forms.append(weakref.ref(request))
        forms.append(weakref.ref(file))

    client = serve(app).client
    for content in (SMALL, LARGE):
        client.post("/", files={"file": content})

    def gone() -> bool:
        gc.collect()
        return not any(each() for each in forms)

    until(gone)


def test_writes_go_on_while_the_loop_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs holds up the upload alone, and the client is not read any further."""
    import tempfile

    hangs, goes_on = threading.Event(), threading.Event()
    roll = tempfile.SpooledTemporaryFile.rollover

    def slow(self: Any) -> None:
        hangs.set()
        goes_on.wait(60)
        roll(self)

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", slow)
    uploads = Uploads()

    @uploads.app.get("/other")
    async def other() -> str:
        return "answered"

    served = serve(uploads.app)
    answers: list[int] = []

    def upload() -> None:
        client = served.new_client(timeout=100)
        answers.append(client.post("/params", files={"file": bytes(20 << 20)}).status_code)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        assert hangs.wait(60)
        assert served.client.get("/other", timeout=20).json() == "answered"
        assert answers == []
    finally:
        goes_on.set()
        thread.join()
    assert answers == [200]


def test_files_of_small_forms_share_a_bound(serve: Serve) -> None:
    """Many files that are each small enough for memory are not all kept there."""
    app = App()

    @app.post("/")
    async def handler(files: list[UploadFile]) -> Any:
        return [file.in_memory for file in files]

    client = serve(app, limits={"form_memory": 3000}).client
    several = [("files", ("f", bytes(1000)))] * 5
    assert client.post("/", files=several).json() == [True] * 3 + [False] * 2
