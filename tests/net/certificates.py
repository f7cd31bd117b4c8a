"""Certificates that tests make for themselves."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetwire.net.tls import TLSFiles

NOW = datetime.now(UTC).replace(microsecond=0)


class Authority:
    """A certificate authority; its own certificate is in `path`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.path = folder / f"{name}.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _begin(self._name, self._name, self._key, NOW + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path.write_bytes(_pem(certificate))

    def server(self, name: str = "server") -> TLSFiles:
        """Return files of a certificate for 127.0.0.1 and localhost."""
        names = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("localhost"),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, key = self._issue(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, names)
        return TLSFiles(certificate, key)

    def client(
        self, *common_names: str, not_after: datetime = NOW + timedelta(days=1)
    ) -> tuple[Path, Path]:
        """Return certificate and key of a client."""
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ward")]
            + [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
        )
        file_name = "client-" + "-".join(common_names)
        return self._issue(file_name, subject, ExtendedKeyUsageOID.CLIENT_AUTH, [], not_after)

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        purpose: x509.ObjectIdentifier,
        names: list[x509.GeneralName],
        not_after: datetime = NOW + timedelta(days=1),
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _begin(subject, self._name, key, not_after).add_extension(
            x509.ExtendedKeyUsage([purpose]), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate_path = self.folder / f"{name}.crt"
        key_path = self.folder / f"{name}.key"
        certificate_path.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_path, key_path


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(not_after)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
