"""How requests travel: what the environment says of proxies and certificates is heeded, or refused in one line."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.endpoints import ChatRequest, Endpoint, EndpointSettings
from selfedit.errors import SelfeditError
from selfedit.records import SamplingParams
from tests.support.endpoint_server import EndpointServer

REQUEST = ChatRequest("q", SamplingParams(0.0, 1.0, 32))


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no proxy, an own cache."""
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def at_once(seconds: float) -> None:
    """No time passes."""


def failure_of(url: str) -> str:
    [reply] = Endpoint(EndpointSettings(url, "m", retries=1, timeout_seconds=20), sleep=at_once).complete([REQUEST])
    return reply.failure


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One that nobody vouches for, with its key, for this machine."""
    path = tmp_path / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(tmp_path / "public.pem")]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    path.write_text(path.read_text() + (tmp_path / "public.pem").read_text())
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[str]:
    """The URL of an endpoint that speaks TLS."""
    server = EndpointServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with server:
        yield server.url.replace("http://127.0.0.1", "https://localhost")


def test_a_certificate_that_nobody_vouches_for_is_named_with_what_to_do(encrypted: str) -> None:
    told = "its certificate is not trusted (self-signed certificate); name a file that vouches for it in SSL_CERT_FILE"
    assert failure_of(encrypted) == told


def test_a_certificate_is_trusted_where_the_named_file_vouches_for_it(
    encrypted: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("public.pem")))
    assert failure_of(encrypted) == ""


def test_plain_http_behind_an_https_url_is_named() -> None:
    with EndpointServer() as server:
        url = server.url.replace("http://", "https://")
        assert failure_of(url) == "it does not speak TLS; the URL may have to begin with http://"


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "socks9://127.0.0.1:1"), ("ALL_PROXY", "ftp://x"), ("SSL_CERT_FILE", "/nowhere/at/all.pem")],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SelfeditError, match=r"^judge: the environment's proxy \(HTTPS_PROXY\) or certificates [^\n]+$"):
        Endpoint(EndpointSettings("https://host.invalid/v1", "m"))


def test_a_proxy_that_may_be_what_is_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    told = "connection refused (by way of the proxy that the environment names)"
    assert failure_of("https://host.invalid/v1") == told
    monkeypatch.setenv("NO_PROXY", "host.invalid")
    assert "proxy" not in failure_of("https://host.invalid/v1")
