"""Several certificates on one port: each client gets the one for the name that it asks for."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import Config
from fluvial._serving.secure import SecureError, make_secure
from support.certificate import RSA, Certificate, make_certificate
from support.presented import presenting
from support.serving import Served, serving

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
SUBJECT_ALTERNATIVES = {
    "first": "DNS:first.test,IP:127.0.0.1",
    "wild": "DNS:*.wild.test,DNS:*.test,DNS:*,DNS:part*.first.test,DNS:a.*.first.test",
    "very": "DNS:Very.Wild.test,DNS:second.very.test",
    "later": "DNS:very.wild.test",
    "only-ip": "IP:127.0.0.2",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """Certificates by their names' keys; "rsa" is for the names of "first"."""
    folder = tmp_path_factory.mktemp("names")
    found = {
        name: make_certificate(folder, name=name, names_of=names)
        for name, names in SUBJECT_ALTERNATIVES.items()
    }
    names = SUBJECT_ALTERNATIVES["first"]
    return found | {"rsa": make_certificate(folder, name="rsa", names_of=names, key=RSA)}


def options(made: dict[str, Certificate]) -> dict[str, Any]:
    return {
        "ssl_certfile": tuple(str(each.cert) for each in made.values()),
        "ssl_keyfile": tuple(str(each.key) for each in made.values()),
    }


@pytest.fixture(scope="module")
def served(made: dict[str, Certificate]) -> Iterator[Served]:
    with serving(presenting(), **options(made)) as served:
        yield served


def presented(
    sock: socket.socket,
    made: dict[str, Certificate],
    host: str | None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "DEFAULT",
) -> str:
    """Which certificate a client is shown, by what it sees and by what the app is told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    texts = {each.cert.read_text(): name for name, each in made.items()}
    with context.wrap_socket(sock, server_hostname=host) as tls:
        shown = tls.getpeercert(binary_form=True)
        assert shown is not None
        tls.sendall(GET)
        answer = b"".join(iter(lambda: tls.recv(65536), b""))
    name = texts[ssl.DER_cert_to_PEM_cert(shown)]
    assert made[name].cert.read_text().encode().replace(b"\n", b"\\n") in answer
    return name


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("first.test", "first"),
        ("FIRST.Test", "first"),
        ("a.wild.test", "wild"),
        ("very.wild.test", "very"),  # the very name, and the first that has it
        ("second.very.test", "very"),
        ("wild.test", "first"),  # a wildcard stands for one label
        ("a.b.wild.test", "first"),
        ("other.test", "first"),  # and isn't alone above a top-level domain
        ("localhost", "first"),
        ("part1.first.test", "first"),  # it is a whole label, the leftmost
        ("a.b.first.test", "first"),
        ("only-ip", "first"),  # the subject's name counts for nothing
        (None, "first"),
    ],
)
def test_by_server_name(
    served: Served,
    made: dict[str, Certificate],
    host: str | None,
    expected: str,
    version: ssl.TLSVersion,
) -> None:
    ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert presented(served.connect_plain(), made, host, version, ciphers) == expected


def test_two_kinds_of_keys_for_one_name(served: Served, made: dict[str, Certificate]) -> None:
    """Clients get the one that they understand."""
    for host in ("first.test", None):
        ciphers = "ECDHE-RSA-AES128-GCM-SHA256"
        sock = served.connect_plain()
        assert presented(sock, made, host, ssl.TLSVersion.TLSv1_2, ciphers) == "rsa"


def test_behind_the_proxy_protocol_and_on_unix_sockets(
    made: dict[str, Certificate], tmp_path: Path
) -> None:
    bind = ("127.0.0.1:0",), (f"unix:{tmp_path / 'socket'}",)
    for addresses in bind:
        every = options(made) | {"bind": addresses, "proxy_protocol": True}
        with serving(presenting(), **every) as served:
            sock = served.connect_plain()
            sock.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
            assert presented(sock, made, "very.wild.test") == "very"


# ---- Mistakes ------------------------------------------------------------------------------


def config_of(*certs: Path, keys: tuple[Path, ...] = ()) -> Config:
    return Config(ssl_certfile=tuple(map(str, certs)), ssl_keyfile=tuple(map(str, keys)) or None)


def test_a_key_for_each(made: dict[str, Certificate]) -> None:
    first, very = made["first"], made["very"]
    with pytest.raises(SecureError, match="there are 2 of --ssl-certfile and 1 of --ssl-keyfile"):
        make_secure(config_of(first.cert, very.cert, keys=(first.key,)))
    with pytest.raises(SecureError, match=r"first.key: the private key does not match"):
        make_secure(config_of(very.cert, first.cert, keys=(first.key, very.key)))


def test_mistakes_name_file_and_line(made: dict[str, Certificate], tmp_path: Path) -> None:
    first, very = made["first"], made["very"]
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    good.write_bytes(first.cert.read_bytes() + first.key.read_bytes())
    cert, key = very.cert.read_text(), very.key.read_text()
    lines = cert.count("\n")
    for text, reason in (
        (cert + cert[:-10] + "\n" + key, f":{lines + 1}: "),
        ("# a comment\n" + cert[:200], ":2: "),
        (cert + key[:60] + "\n", f":{lines + 1}: "),
    ):
        bad.write_text(text)
        with pytest.raises(SecureError, match=f"can't use TLS: {bad}{reason}"):
            make_secure(config_of(good, bad))
