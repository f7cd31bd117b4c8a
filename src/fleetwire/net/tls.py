"""TLS for listeners: the server's certificate, and what a client's certificate says."""

import asyncio
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from fleetwire.errors import SettingsError
from fleetwire.net.authenticator import ClientCertificate

log = structlog.get_logger("fleetwire.net")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LOOK_EVERY_S = 60.0  # at the files, for whoever renews certificates without a signal
# What MQTT is registered as (RFC 7301), and what browsers ask for before they open a WebSocket.
APPLICATION_PROTOCOLS = ["mqtt", "http/1.1"]


@dataclass(frozen=True)
class TLSFiles:
    """Where certificate and key are, and who may connect; all files are PEM.

    With a `client_ca` clients are asked for a certificate which it has signed.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_certificate: Literal["optional", "required"] = "required"
    min_version: Literal["1.2", "1.3"] = "1.2"


class ServerCertificate:
    """The server's certificate in force; handshakes take `context` when they begin.

    A reload makes a new context: running connections keep the one they began with. Raises
    SettingsError at first if the files cannot be used.
    """

    def __init__(self, files: TLSFiles) -> None:
        self.files = files
        self._seen = self._look()
        self.context = make_context(files)

    def reload(self) -> bool:
        """Take the files as they are now; if they cannot be used, keep what was and log why."""
        self._seen = self._look()
        try:
            self.context = make_context(self.files)
        except SettingsError as error:
            log.error("certificate not reloaded; the old one stays in force", reason=str(error))
            return False
        log.info("certificate reloaded", certificate=str(self.files.certificate))
        return True

    def reload_if_changed(self) -> bool:
        """Reload if a file is another one than last time; say whether new ones are in force."""
        return self._look() != self._seen and self.reload()

    async def watch(self, every_s: float = LOOK_EVERY_S) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(every_s)
            self.reload_if_changed()

    def _look(self) -> list[tuple[int, ...]]:
        """Return what tells one version of the files from the next."""
        seen: list[tuple[int, ...]] = []
        for path in (self.files.certificate, self.files.key, self.files.client_ca):
            if path is None:
                continue
            try:
                of = os.stat(path)
            except OSError:
                seen.append(())
            else:
                seen.append((of.st_ino, of.st_size, of.st_mtime_ns))
        return seen


def make_context(files: TLSFiles) -> ssl.SSLContext:
    """Return the context of these files. Raises SettingsError that says what to change."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[
        files.min_version
    ]
    # One client must not make us shake hands with it again and again (TLS 1.2).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(APPLICATION_PROTOCOLS)
    _readable(files.certificate, "FLEETWIRE_TLS_CERTIFICATE")
    _readable(files.key, "FLEETWIRE_TLS_KEY")
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except _EncryptedKeyError:
        raise SettingsError(
            f"The key {files.key} (FLEETWIRE_TLS_KEY) is encrypted. Store it without a password, "
            "readable by the server's user only: openssl pkey -in … -out …"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = "the key does not belong to the certificate"
        else:
            why = f"not a certificate and its key in PEM form ({error.reason or 'unreadable'})"
        raise SettingsError(
            f"TLS cannot use {files.certificate} and {files.key}: {why}. "
            "Change FLEETWIRE_TLS_CERTIFICATE or FLEETWIRE_TLS_KEY."
        ) from None
    except OSError as error:  # gone since we looked
        raise SettingsError(f"TLS cannot read {files.certificate}: {error.strerror}.") from None
    if files.client_ca is not None:
        _readable(files.client_ca, "FLEETWIRE_TLS_CLIENT_CA")
        try:
            context.load_verify_locations(files.client_ca)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(
                f"{files.client_ca} (FLEETWIRE_TLS_CLIENT_CA) holds no certificates in PEM form "
                f"({getattr(error, 'reason', None) or error.strerror or 'unreadable'})."
            ) from None
        context.verify_mode = (
            ssl.CERT_REQUIRED if files.client_certificate == "required" else ssl.CERT_OPTIONAL
        )
    return context


def read_certificate(der: bytes) -> ClientCertificate:
    """Return what a certificate in DER form says. Raises ValueError if it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # Of several names none is the name.
    common_name = names[0].value if len(names) == 1 else ""
    since_epoch = certificate.not_valid_after_utc - EPOCH
    return ClientCertificate(
        common_name if isinstance(common_name, str) else "",
        certificate.subject.rfc4514_string(),
        certificate.fingerprint(SHA256()).hex(),
        f"{certificate.serial_number:x}",
        since_epoch // timedelta(microseconds=1),
    )


class _EncryptedKeyError(Exception):
    pass


def _no_password() -> str:
    # Without this OpenSSL would ask for one at the terminal, and wait.
    raise _EncryptedKeyError


def _readable(path: Path, variable: str) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise SettingsError(
            f"The file {path} ({variable}) cannot be read: {error.strerror or error}."
        ) from None
