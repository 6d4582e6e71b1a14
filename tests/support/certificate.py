"""Self-signed certificates for the tests, made by openssl when they are needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

# Without what is meant for this process alone, such as a sanitizer to preload.
ENVIRONMENT = {key: os.environ[key] for key in ("PATH", "TZ") if key in os.environ}


class Certificate(NamedTuple):
    """The files, in PEM form."""

    cert: Path
    key: Path


def make_certificate(folder: Path, **owner: Any) -> Certificate:
    """A certificate in `folder` for this machine's loopback names, good for two days.

    `owner`: user and group, as subprocess.run takes them.
    """
    made = Certificate(folder / "server.crt", folder / "server.key")
    options = ["-x509", "-nodes", "-days", "2"]
    options += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", made.key, "-out", made.cert]
    done = subprocess.run(
        ["openssl", "req", *options, *names, *files],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **owner,
    )
    assert done.returncode == 0, done.stderr
    made.key.chmod(0o600)
    return made
