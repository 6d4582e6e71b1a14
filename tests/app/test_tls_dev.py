"""--tls-dev: a certificate for local names that nobody had to make."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from fluvial import App, Config, Request
from fluvial._serving.certificates import Certificates
from fluvial._serving.secure import SecureError, make_secure
from support.serving import Served, serving

if TYPE_CHECKING:
    from support.certificate import Certificate


def shown(served: Served) -> bytes:
    """The certificate, in DER form."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(served.connect_plain()) as sock:
        found = sock.getpeercert(binary_form=True)
        assert found is not None
        return found


def test_clients_that_trust_it(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    async def scheme(request: Request) -> str:
        return request.url.scheme

    with serving(app, tls_dev=True) as served:
        der = shown(served)
        context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(der))
        port = served.address[1]
        for host in ("127.0.0.1", "localhost"):
            answer = httpx.get(f"https://{host}:{port}/", verify=context, trust_env=False)
            assert answer.json() == "https"
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(served.connect_plain(), server_hostname="example.org")
    (line,) = [each for each in caplog.messages if "--tls-dev" in each]
    assert "clients will not trust it" in line
    assert "localhost, 127.0.0.1, ::1" in line
    digest = re.sub("(..)(?=.)", r"\1:", hashlib.sha256(der).hexdigest().upper())
    assert line.endswith(digest)


def test_other_names_that_are_listened_on(caplog: pytest.LogCaptureFixture) -> None:
    for host, said in (("192.0.2.7", "::1, 192.0.2.7,"), ("0.0.0.0", "::1,"), ("a.test", "a.test")):
        caplog.clear()
        assert make_secure(Config(tls_dev=True, host=host)) is not None
        assert said in caplog.messages[0]


def test_a_restart_of_workers_keeps_it() -> None:
    config = Config(tls_dev=True)
    first = Certificates(config)
    assert Certificates(config, first)._dev is first._dev
    assert first.interval == 0


def test_it_is_not_mixed_with_others(certificate: Certificate) -> None:
    with pytest.raises(SecureError, match="give one of them"):
        make_secure(Config(tls_dev=True, ssl_certfile=str(certificate.cert)))
