"""OCSP responses from files, for clients that ask for them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fluvial import App, Config
from fluvial._serving.secure import SecureError, make_secure
from support.certificate import ENVIRONMENT, Authority, Certificate, make_certificate
from support.serving import Served, serving
from support.workers import until

GIVEN = "OCSP Response Status: successful"
NONE = re.compile("OCSP responses?: no responses? sent")  # plural since OpenSSL 3.6


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Certificate:
    return authority.issue("one", "/CN=one")


def options(issued: Certificate, staple: Path | str, **more: Any) -> dict[str, Any]:
    pair = {"ssl_certfile": str(issued.cert), "ssl_keyfile": str(issued.key)}
    return {**pair, "ssl_ocsp_file": str(staple), **more}


def asked(served: Served, *more: str) -> str:
    """What openssl's client says of the handshake."""
    host, port = served.address
    command = ["openssl", "s_client", "-status", "-connect", f"{host}:{port}", *more]
    done = subprocess.run(
        command,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_clients_that_ask_get_it(authority: Authority, issued: Certificate, version: str) -> None:
    with serving(App(), **options(issued, authority.staple(issued))) as served:
        said = asked(served, version)
        assert GIVEN in said
        assert "Cert Status: good" in said


def test_one_that_is_out_of_date_is_not_given(authority: Authority, issued: Certificate) -> None:
    """Clients would take that for worse than none."""
    with serving(App(), **options(issued, authority.staple(issued, old=True))) as served:
        assert NONE.search(asked(served))


def test_each_certificate_has_its_own(
    authority: Authority, issued: Certificate, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, name="other", names_of="DNS:other.test")
    several = {
        "ssl_certfile": (str(other.cert), str(issued.cert)),
        "ssl_keyfile": (str(other.key), str(issued.key)),
        "ssl_ocsp_file": ("-", str(authority.staple(issued))),
    }
    with serving(App(), **several) as served:
        assert NONE.search(asked(served, "-servername", "other.test"))
    back = {name: tuple(reversed(each)) for name, each in several.items()}
    with serving(App(), **back) as served:
        assert GIVEN in asked(served)
        assert NONE.search(asked(served, "-servername", "other.test"))


def test_it_is_renewed(authority: Authority, issued: Certificate, tmp_path: Path) -> None:
    live = tmp_path / "live.der"
    live.write_bytes(authority.staple(issued, old=True).read_bytes())
    with serving(App(), **options(issued, live, ssl_watch_interval=0.02)) as served:
        live.write_bytes(authority.staple(issued).read_bytes())
        until(lambda: GIVEN in asked(served))


def test_mistakes(authority: Authority, issued: Certificate, tmp_path: Path) -> None:
    other = authority.issue("two", "/CN=two")
    text = tmp_path / "text"
    text.write_text("no response")
    for staple, reason in (
        (text, "text: there is no OCSP response in DER form"),
        (authority.staple(other), "two.der: the response is about another certificate"),
        (tmp_path / "nowhere", "nowhere: No such file or directory"),
    ):
        with pytest.raises(SecureError, match=reason):
            make_secure(Config(**options(issued, staple)))
    two = options(issued, text) | {"ssl_ocsp_file": ("-", "-")}
    with pytest.raises(SecureError, match="1 of --ssl-certfile and 2 of --ssl-ocsp-file"):
        make_secure(Config(**two))
    with pytest.raises(SecureError, match="--ssl-ocsp-file needs --ssl-certfile"):
        make_secure(Config(ssl_ocsp_file="x"))
