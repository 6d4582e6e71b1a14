"""Certificates whose files change while the server runs: new connections get the new ones."""

from __future__ import annotations

import copy
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import Config, _core
from fluvial._serving.certificates import Certificates
from support.certificate import Authority, Certificate, make_certificate
from support.presented import presenting
from support.serving import Served, serving
from support.tls_socket import client_context
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OFTEN = 0.02  # seconds between two looks


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    folder = tmp_path_factory.mktemp("made")
    return [make_certificate(folder, name=f"n{n}") for n in range(3)]


@pytest.fixture
def live(made: list[Certificate], tmp_path: Path) -> Certificate:
    """The files that the server reads, with the first certificate in them."""
    found = Certificate(tmp_path / "live.crt", tmp_path / "live.key")
    write(found, made[0])
    return found


def write(live: Certificate, new: Certificate) -> None:
    for old, name in zip(live, new, strict=True):
        old.write_bytes(name.read_bytes())


def rename(live: Certificate, new: Certificate) -> None:
    for old, name in zip(live, new, strict=True):
        beside = old.with_suffix(".new")
        beside.write_bytes(name.read_bytes())
        beside.replace(old)


def link(live: Certificate, new: Certificate) -> None:
    """As certbot does it: the names are links, which lead to other files then."""
    for old, name in zip(live, new, strict=True):
        beside = old.with_suffix(".link")
        beside.symlink_to(name)
        beside.replace(old)


def remove(live: Certificate, new: Certificate) -> None:
    """For a moment there is nothing."""
    for old in live:
        old.unlink()
    write(live, new)


def options(live: Certificate, **more: Any) -> dict[str, Any]:
    return {"ssl_certfile": str(live.cert), "ssl_keyfile": str(live.key)} | more


def trusting(made: list[Certificate]) -> ssl.SSLContext:
    context = client_context(made[0].cert)
    for each in made[1:]:
        context.load_verify_locations(each.cert)
    return context


def presented(served: Served, context: ssl.SSLContext) -> str:
    with served.connect(context) as sock:
        shown = sock.tls.getpeercert(binary_form=True)
        assert shown is not None
        return ssl.DER_cert_to_PEM_cert(shown)


@pytest.mark.parametrize("replace", [write, rename, link, remove])
def test_new_connections_get_the_new_one(
    made: list[Certificate],
    live: Certificate,
    replace: Callable[[Certificate, Certificate], None],
) -> None:
    context = trusting(made)
    with (
        serving(presenting(), **options(live, ssl_watch_interval=OFTEN)) as served,
        served.connect(context) as kept,
    ):
        assert presented(served, context) == made[0].cert.read_text()
        for new in made[1:]:
            replace(live, new)
            expected = new.cert.read_text()
            until(lambda text=expected: presented(served, context) == text)
        kept.sendall(GET)
        old = made[0].cert.read_text().encode().replace(b"\n", b"\\n")
        answer = b""
        while old not in answer:  # what was open keeps what it had
            answer += kept.recv(65536)


def test_files_that_change_are_left_alone(made: list[Certificate], live: Certificate) -> None:
    certificates = Certificates(Config(**options(live)))
    first = certificates.secure
    assert not certificates.look()
    rename(live, made[1])
    assert not certificates.look()  # it may be half of something
    assert certificates.look()
    assert certificates.secure is not first
    assert not certificates.look()


def test_half_a_pair(
    made: list[Certificate], live: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of once, and the old pair stays until there is a whole one."""
    certificates = Certificates(Config(**options(live)))
    first = certificates.secure
    caplog.set_level(logging.INFO, "fluvial")
    live.cert.write_bytes(made[1].cert.read_bytes())
    for _ in range(4):
        assert not certificates.look()
    assert caplog.messages == [
        f"Keeping the old certificates: {live.key}: the private key does not match the certificate"
    ]
    live.cert.write_bytes(made[1].cert.read_bytes()[:100])
    for _ in range(4):
        assert not certificates.look()
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith(f"Keeping the old certificates: {live.cert}:1: ")
    assert certificates.secure is first
    write(live, made[1])
    assert [certificates.look() for _ in range(3)] == [False, True, False]
    assert caplog.messages[2:] == ["Reloaded the certificates; new connections use them"]


def test_files_that_are_gone(
    made: list[Certificate], live: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(Config(**options(live)))
    live.cert.unlink()
    for _ in range(4):
        assert not certificates.look()
    (line,) = caplog.messages
    assert line.endswith(f"{live.cert}: No such file or directory")
    write(live, made[0])
    assert [certificates.look() for _ in range(3)] == [False, True, False]


def test_workers_need_not_read_the_files(made: list[Certificate], live: Certificate) -> None:
    """They get what their parent has read; they may be users who can't."""
    parent = Certificates(Config(**options(live)))
    parent.share()
    worker = copy.copy(parent)
    worker.shared = copy.copy(parent.shared)  # as a fork leaves it
    first = worker.secure
    assert not worker.take()
    for new in made[1:]:
        write(live, new)
        assert parent.read_now()
    for file in live:
        file.unlink()
    assert worker.take()
    assert worker.secure is not first
    assert not worker.take()


def test_clients_authorities_are_read_again_too(made: list[Certificate], live: Certificate) -> None:
    cas = live.cert.with_name("ca.crt")
    cas.write_bytes(made[0].cert.read_bytes())
    more = {"ssl_ca_certs": str(cas), "ssl_cert_reqs": "required", "ssl_watch_interval": OFTEN}
    context = client_context(made[0].cert, made[1])
    with serving(presenting(), **options(live, **more)) as served:

        def accepted() -> bool:
            try:
                return is_answered(served, context)
            except (OSError, EOFError):
                return False

        assert not accepted()
        cas.write_bytes(made[1].cert.read_bytes())
        until(accepted)


def is_answered(served: Served, context: ssl.SSLContext) -> bool:
    with served.connect(context) as sock:
        sock.sendall(GET)
        return bool(sock.recv(65536))


# ---- Sessions ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_keys_of_tickets_change(
    made: list[Certificate], live: Certificate, version: ssl.TLSVersion
) -> None:
    """What the last keys have encrypted can still be read, what older ones have can't."""
    context = trusting(made)
    context.minimum_version = context.maximum_version = version
    with serving(presenting(), **options(live, ssl_session_lifetime=3600)) as served:
        assert served.service is not None
        tickets = served.service.certificates._tickets
        assert tickets is not None

        def session(before: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, bool]:
            with served.connect(context, before) as sock:
                sock.sendall(GET)
                assert sock.recv(65536)  # TLS 1.3: the tickets have come with it
                assert sock.tls.session is not None
                return sock.tls.session, bool(sock.tls.session_reused)

        first, _ = session()
        assert first.ticket_lifetime_hint == 3600
        assert session(first)[1]
        tickets.advance(3600)
        second, reused = session(first)
        assert reused
        tickets.advance(7200)
        assert not session(first)[1]
        assert session(second)[1]  # it was given another ticket


@pytest.mark.parametrize("ahead", [-1, 604_801, 2**32, 2**62])
def test_keys_are_not_advanced_by_more_than_a_week(ahead: int) -> None:
    tickets = _core.SessionTickets(60)
    tickets.advance(604_800)
    with pytest.raises(ValueError, match="ahead must be from 0 to 604800 seconds"):
        tickets.advance(ahead)


@pytest.mark.parametrize("lifetime", [3600, 1800])
@pytest.mark.parametrize("changes", [0, 1])
def test_keys_of_another_process(
    made: list[Certificate], live: Certificate, lifetime: int, changes: int
) -> None:
    """They decrypt its tickets, also those of the key before the last, if they go on as it does."""
    context = trusting(made)

    def session(served: Served, before: ssl.SSLSession | None = None) -> tuple[Any, bool]:
        with served.connect(context, before) as sock:
            sock.sendall(GET)
            assert sock.recv(65536)
            return sock.tls.session, bool(sock.tls.session_reused)

    with serving(presenting(), **options(live, ssl_session_lifetime=3600)) as served:
        assert served.service is not None
        keys = served.service.certificates._tickets
        assert keys is not None
        first, _ = session(served)
        keys.advance(3600 * changes)
        last, _ = session(served)
        state = served.service.certificates.sessions
    with serving(presenting(), **options(live, ssl_session_lifetime=lifetime)) as served:
        assert served.service is not None
        assert not session(served, last)[1]
        config = served.service.certificates._config
        served.service.certificates = Certificates(config, sessions=state)
        assert served.service.certificates.secure is not None
        served.service.server.renew_secure(served.service.certificates.secure)
        assert session(served, last)[1]
        assert session(served, first)[1] == (not changes or lifetime == 3600)


@pytest.mark.parametrize("state", [b"x", bytes(256), b"fluvial keys 1\0\0" + b"\xff" * 240])
def test_what_is_no_state_of_keys(state: bytes) -> None:
    with pytest.raises(ValueError, match="state must be that of other SessionTickets"):
        _core.SessionTickets(60, state)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_sessions(made: list[Certificate], live: Certificate, version: ssl.TLSVersion) -> None:
    context = trusting(made)
    context.minimum_version = context.maximum_version = version
    with (
        serving(presenting(), **options(live, ssl_session_lifetime=0)) as served,
        served.connect(context) as sock,
    ):
        sock.sendall(GET)
        assert sock.recv(65536)
        session = sock.tls.session
        assert session is None or not session.has_ticket


def test_sessions_outlive_a_renewal(made: list[Certificate], live: Certificate) -> None:
    context = trusting(made)
    with serving(presenting(), **options(live, ssl_watch_interval=OFTEN)) as served:
        with served.connect(context) as sock:
            sock.sendall(GET)
            assert sock.recv(65536)
            session = sock.tls.session
        write(live, made[1])
        until(lambda: presented(served, context) == made[1].cert.read_text())
        with served.connect(context, session) as sock:
            assert sock.tls.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_is_revoked_cannot_resume(
    made: list[Certificate], live: Certificate, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A session's ticket has what was verified before, and nothing verifies it again."""
    authority = Authority(tmp_path, "authority")
    stays, goes = authority.issue("stays", "/CN=stays"), authority.issue("goes", "/CN=goes")
    crl = tmp_path / "live.crl"
    crl.write_bytes(authority.revoke(authority.issue("other", "/CN=other")).read_bytes())
    asking = {"ssl_ca_certs": str(authority.cert), "ssl_crl": str(crl), "ssl_cert_reqs": "required"}
    renewing = options(live, ssl_watch_interval=OFTEN, **asking)
    with serving(presenting(), **renewing) as served:
        clients = {}
        for client in (stays, goes):
            context = client_context(made[0].cert, client)
            context.minimum_version = context.maximum_version = version
            with served.connect(context) as sock:
                sock.sendall(GET)
                assert sock.recv(65536)
                clients[client] = context, sock.tls.session
        crl.write_bytes(authority.revoke(goes).read_bytes())
        until(lambda: not is_served(served, clients[goes][0], None))
        assert not is_served(served, *clients[goes])
        assert is_served(served, *clients[stays])


def is_served(served: Served, context: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    try:
        with served.connect(context, session) as sock:
            sock.sendall(GET)
            return bool(sock.recv(65536))
    except OSError:  # also ssl.SSLError
        return False
