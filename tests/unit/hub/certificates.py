"""A small CA for the fake node, as role pki has one for real nodes."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of the CA, the hub and the node."""

    ca: Path
    hub_cert: Path
    hub_key: Path
    node_cert: Path
    node_key: Path
    other_ca: Path

    def password_context(self) -> ssl.SSLContext:
        """Return TLS as a server has it whose clients have a password."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.node_cert, self.node_key)
        return context

    def server_context(self) -> ssl.SSLContext:
        """Return TLS as a node's gateway has it: the client's certificate is required."""
        context = self.password_context()
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write a CA, certificates of hub and node, and a CA that has nothing to do with them."""
    files = Certificates(*(folder / name for name in ("ca", "hub.crt", "hub.key", "node.crt", "node.key", "other")))
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _sign("test CA", ca_key, None, ca_key)
    files.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    for name, cert, key in (("hub", files.hub_cert, files.hub_key), ("node-a", files.node_cert, files.node_key)):
        own_key = ec.generate_private_key(ec.SECP256R1())
        cert.write_bytes(_sign(name, own_key, ca, ca_key).public_bytes(Encoding.PEM))
        key.write_bytes(own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    other_key = ec.generate_private_key(ec.SECP256R1())
    files.other_ca.write_bytes(_sign("other CA", other_key, None, other_key).public_bytes(Encoding.PEM))
    return files


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    if issuer is None:
        usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    return builder.sign(issuer_key, SHA256())


_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
