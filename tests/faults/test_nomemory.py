"""Each allocation of a request fails once: the request may fail, and nothing else.

In `make test` every third one of some kinds; with FAULTS=1 each of all kinds, several times, so
that leaks are seen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import nomemory

if TYPE_CHECKING:
    from pathlib import Path

FULL = bool(os.environ.get("FAULTS"))
pytestmark = pytest.mark.timeout(1000 if FULL else 300)
TIMES, STEP = (3, 1) if FULL else (1, 3)
PATIENCE = 800 if FULL else 240  # seconds

# A process for each.
GROUPS = (
    {
        "native": "ping,async,forwarded,fields,def,depends,refuses,raises,absent,other-method,head,"
        "pipelined,malformed,health",
        "bodies": "struct,model,invalid,json,expect,compressed,size,chunked,form,multipart,upload,"
        "spooled,def-upload",
        "responses": "stream,def-stream,gzip,br,zstd,file,range,static,unchanged,"
        "static-range,static-ranges,large-ranges,index,redirect,missing-page",
        "others": "asgi,wsgi,ws,ws-deflate,asgi-ws",
        "tls": "tls-ping,tls-def,tls-size,tls-static,tls-ws",
    }
    if FULL
    else {
        "plain": "async,def,struct,stream,static,static-ranges,ws,asgi,wsgi,json",
        "tls": "tls-ping",
    }
)


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nomemory.build(tmp_path_factory.mktemp("hook"))


@pytest.mark.parametrize("group", GROUPS)
def test_an_allocation_that_fails_fails_its_request_only(
    hook: Path, group: str, tmp_path: Path
) -> None:
    arguments = [hook, tmp_path, GROUPS[group], str(TIMES), str(STEP)]
    done = subprocess.run(
        [sys.executable, nomemory.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["kind"] for each in results] == GROUPS[group].split(",")
    assert [each for each in results if each["faults"]] == []
    # Most allocations are needed: what fails without them is seen.
    assert any(each["outcomes"].keys() - {"usual"} for each in results)
