"""Files of the roles, rendered with their defaults, and certificates as the role pki makes them."""

from __future__ import annotations

import datetime
import ipaddress
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.harness import ROOT

DAY = datetime.timedelta(days=1)


def render(role: str, template: str, variables: dict[str, Any]) -> str:
    """Render a role's template with its defaults and these variables on top, as Ansible would."""
    folder = ROOT / "roles" / role
    environment = jinja2.Environment(  # noqa: S701 - what comes out is a configuration file, not HTML
        loader=jinja2.FileSystemLoader(folder / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["to_json"] = json.dumps
    values: dict[str, Any] = {}
    for file in ("defaults/main.yml", "vars/main.yml"):
        if (folder / file).exists():
            values |= yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    values |= {"ansible_managed": "Rendered for a benchmark"} | variables
    for name, value in values.items():
        if isinstance(value, str) and "{{ [" in value:
            values[name] = environment.from_string(value).render(values)
    return environment.get_template(template).render(values)


class Authority:
    """A certificate authority that issues what machines need."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            _begun(name, name, self._key).add_extension(basic, critical=True).sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> str:
        """Its own certificate, PEM."""
        return _pem(self._certificate)

    def issue(self, name: str, unit: str, address: str) -> tuple[str, str]:
        """Return certificate and key (PEM) of a machine of the site `unit`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CLLMH"),
            ]
        )
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            _begun(subject, self._certificate.subject, key)
            .add_extension(names, critical=False)
            .add_extension(usage, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(certificate), text.decode()


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    begun = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return begun.not_valid_before(now - DAY).not_valid_after(now + 2 * DAY)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def staged(name: str) -> bool:
    """Say whether a program is staged."""
    try:
        return artifact(name).exists()
    except RuntimeError:
        return False


def artifact(name: str) -> Path:
    """Return a staged program; raise RuntimeError when it is not there."""
    manifest = ROOT / "artifacts" / "manifest.yml"
    entry = yaml.safe_load(manifest.read_text(encoding="utf-8"))["artifacts"].get(name) if manifest.exists() else None
    path = ROOT / "artifacts" / entry["path"] if entry else None
    if path is None or not path.exists():
        raise RuntimeError(f"{name} is not staged: run `make artifacts` first")
    return path
