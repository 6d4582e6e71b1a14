"""What an upload costs the server: constant memory, whatever its size."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from pathlib import Path

import pytest
from support.command import serving
from support.sanitizer import measures_memory

MIB = 1 << 20
UPLOAD = 200  # MiB
ROOM = 24  # MiB that the process may grow by: buffers, and what the allocator keeps

APP = """
from fluvial import App, Request, UploadFile

app = App()

@app.post("/file")
async def file(file: UploadFile):
    return file.size

@app.post("/def")
def in_thread(file: UploadFile):
    return file.size

@app.post("/parts")
async def parts(request: Request):
    return sum([len(piece) async for part in request.parts() async for piece in part])
"""


def peak(pid: int) -> int:
    """The most memory that the process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def upload(port: int, path: str, size: int) -> bytes:
    """Sends a file of `size` MiB in a form; the end of the response."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    length = len(head) + size * MIB + len(b"\r\n--b--\r\n")
    with closing(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.settimeout(60)
        sock.sendall(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            + head
        )
        piece = bytes(MIB)
        for _ in range(size):
            sock.sendall(piece)
        sock.sendall(b"\r\n--b--\r\n")
        return sock.recv(65536).partition(b"\r\n\r\n")[2]


@measures_memory
@pytest.mark.parametrize("path", ["/file", "/def", "/parts"])
def test_an_upload_takes_constant_memory(tmp_path: Path, path: str) -> None:
    (tmp_path / "uploads.py").write_text(APP)
    with serving("uploads:app", "--no-access-log", app_dir=tmp_path) as server:
        assert upload(int(server.url.rpartition(":")[2]), path, 2) == b"%d" % (2 * MIB)
        before = peak(server.process.pid)
        assert upload(int(server.url.rpartition(":")[2]), path, UPLOAD) == b"%d" % (UPLOAD * MIB)
        assert peak(server.process.pid) - before < ROOM
