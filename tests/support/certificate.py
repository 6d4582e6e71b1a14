"""Certificates for the tests, made by openssl when they are needed."""

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


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")


def openssl(*arguments: str | Path, **owner: Any) -> str:
    """What the command prints."""
    done = subprocess.run(
        ["openssl", *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **owner,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_certificate(
    folder: Path,
    *,
    key: tuple[str, ...] = EC,
    name: str = "server",
    names_of: str = "DNS:localhost,IP:127.0.0.1",
    **owner: Any,
) -> Certificate:
    """A self-signed certificate in `folder`, by default for this machine's loopback names, good for
    two days.

    `name` is that of its files, `owner` user and group, as subprocess.run takes them.
    """
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={names_of}"]
    files = ["-keyout", made.key, "-out", made.cert]
    openssl("req", "-x509", "-nodes", "-days", "2", *key, *names, *files, **owner)
    made.key.chmod(0o600)
    return made


class Authority:
    """Signs certificates; its own is `cert`, in `folder`."""

    def __init__(self, folder: Path, name: str, signer: Authority | None = None) -> None:
        self.folder = folder
        self.cert, self.key = self._issue(name, f"/CN={name}", True, signer)

    def issue(self, name: str, subject: str) -> Certificate:
        """A certificate of the subject's, e.g. "/O=Some Company/CN=alice"."""
        return self._issue(name, subject, False, self)

    def revoke(self, certificate: Certificate) -> Path:
        """Revokes it; the file with the list of what is revoked."""
        config, crl = self.folder / "ca.conf", self.folder / "revoked.crl"
        (self.folder / "index.txt").touch()
        config.write_text(
            "[ca]\ndefault_ca = own\n[own]\ndefault_md = sha256\ndefault_crl_days = 2\n"
            f"database = {self.folder}/index.txt\n"
        )
        own = ("ca", "-config", config, "-cert", self.cert, "-keyfile", self.key)
        openssl(*own, "-revoke", certificate.cert)
        openssl(*own, "-gencrl", "-out", crl)
        return crl

    def staple(self, certificate: Certificate, *, old: bool = False) -> Path:
        """What it says of a certificate that it has issued, as a file in DER form.

        If it is `old` it is out of date, and its signature isn't right.
        """
        index, said = self.folder / "issued.txt", certificate.cert.with_suffix(".der")
        number = openssl("x509", "-in", certificate.cert, "-noout", "-serial").strip()[7:]
        index.write_text(f"V\t491231235959Z\t\t{number}\tunknown\t/CN=x\n")
        openssl(
            *("ocsp", "-index", index, "-CA", self.cert, "-rsigner", self.cert),
            *("-rkey", self.key, "-issuer", self.cert, "-cert", certificate.cert),
            *("-ndays", "2", "-respout", said),
        )
        if old:
            before, tag, rest = said.read_bytes().partition(b"\xa0\x11\x18\x0f")
            said.write_bytes(before + tag + b"20200101000000Z" + rest[15:])
        return said

    def _issue(
        self, name: str, subject: str, is_authority: bool, signer: Authority | None
    ) -> Certificate:
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"basicConstraints=critical,CA:{str(is_authority).upper()}\n")
        openssl(
            *("req", "-new", "-nodes", "-utf8", *EC, "-subj", subject),
            *("-keyout", made.key, "-out", request),
        )
        signed = ["-signkey", made.key]
        if signer is not None:
            signed = ["-CA", signer.cert, "-CAkey", signer.key, "-CAcreateserial"]
        openssl(
            *("x509", "-req", "-days", "2", "-extfile", extensions, "-in", request),
            *(*signed, "-out", made.cert),
        )
        return made
