"""The simulated router against librouteros, the library that Ansible uses."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import librouteros
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from librouteros.exceptions import LibRouterosError

from fakes.fake_routeros import Router, own_spelling, running

PASSWORD = "s3:@ kunci"


@pytest.fixture
def router(tmp_path: Path) -> Router:
    return Router("ansible", PASSWORD, tmp_path / "state.json")


def test_ddns_is_switched_on_and_the_write_is_on_record(router: Router) -> None:
    with running(router) as port:
        api = librouteros.connect("127.0.0.1", "ansible", PASSWORD, port=port)
        cloud = api.path("ip", "cloud")
        assert "dns-name" not in next(iter(cloud))
        cloud.update(**{"ddns-enabled": "yes", "ddns-update-interval": "60s"})
        after = next(iter(cloud))
        api.close()
    assert after["dns-name"] == router.dns_name
    assert after["ddns-update-interval"] == "1m"
    state = json.loads(router.state.read_text())
    assert state["writes"] == [
        {"path": "/ip/cloud/set", "given": {"ddns-enabled": "yes", "ddns-update-interval": "60s"}}
    ]


def test_a_wrong_password_and_a_value_that_7_18_refuses(router: Router) -> None:
    with running(router) as port:
        with pytest.raises(LibRouterosError, match="invalid user name or password"):
            librouteros.connect("127.0.0.1", "ansible", "guess", port=port)
        api = librouteros.connect("127.0.0.1", "ansible", PASSWORD, port=port)
        with pytest.raises(LibRouterosError, match="must be either yes or auto"):
            api.path("ip", "cloud").update(**{"ddns-enabled": "no"})
        api.close()
    assert not router.state.exists()


def test_nothing_can_be_read_without_a_login(router: Router) -> None:
    with running(router) as port:
        api = librouteros.connect("127.0.0.1", "ansible", PASSWORD, port=port, login_method=lambda *_: None)
        with pytest.raises(LibRouterosError, match="not logged in"):
            list(api.path("ip", "cloud"))


def test_tls(router: Router, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("router")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "router.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    asking = ssl.create_default_context(cafile=str(pem))
    with running(router, serving) as port:
        api = librouteros.connect(
            "127.0.0.1",
            "ansible",
            PASSWORD,
            port=port,
            ssl_wrapper=partial(asking.wrap_socket, server_hostname="router"),
        )
        assert next(iter(api.path("system", "resource")))["version"].startswith("7.18")
        api.close()


@pytest.mark.parametrize(
    ("given", "stored"), [("60s", "1m"), ("1m", "1m"), ("90m", "1h30m"), ("24h", "1d"), ("7d", "1w"), ("1w1d", "1w1d")]
)
def test_durations_are_stored_in_the_routers_own_spelling(given: str, stored: str) -> None:
    assert own_spelling(given) == stored
