"""Certificates: which files are taken, what is said of others, and what a client's says."""

import dataclasses
import hashlib
import os
import ssl
import subprocess
from pathlib import Path

import pytest

from fleetwire.errors import SettingsError
from fleetwire.net.tls import ServerCertificate, TLSFiles, make_context, read_certificate
from tests.net.certificates import NOW, Authority


def der_of(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def shown(context: ssl.SSLContext) -> bytes:
    """Return the certificate that this context shows to a client, in DER form."""
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outside.check_hostname = False
    outside.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = outside.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return der


def test_a_client_certificate_says_who_it_is_for(tmp_path: Path) -> None:
    path, _ = Authority(tmp_path, "fleet").client("pump-7")
    der = der_of(path)
    said = read_certificate(der)
    assert said.common_name == "pump-7"
    assert said.subject == "CN=pump-7,O=Ward"
    assert said.fingerprint == hashlib.sha256(der).hexdigest()
    day_us = 86_400_000_000
    assert said.not_after_at == int(NOW.timestamp()) * 1_000_000 + day_us
    told = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-serial"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert int(said.serial, 16) == int(told.partition("=")[2], 16)


def test_of_several_common_names_none_is_the_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "fleet")
    assert read_certificate(der_of(authority.client("a", "b")[0])).common_name == ""
    assert read_certificate(der_of(authority.client()[0])).common_name == ""


def test_what_is_no_certificate_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        read_certificate(b"\x30\x03abc")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"certificate": "none.pem"}, "FLEETWIRE_TLS_CERTIFICATE"),
        ({"key": "none.pem"}, "FLEETWIRE_TLS_KEY"),
        ({"key": "other.key"}, "does not belong"),
        ({"key": "locked.key"}, "encrypted"),
        ({"certificate": "text.pem"}, "PEM"),
        ({"certificate": "."}, "FLEETWIRE_TLS_CERTIFICATE"),
        ({"client_ca": "none.pem"}, "FLEETWIRE_TLS_CLIENT_CA"),
        ({"client_ca": "text.pem"}, "FLEETWIRE_TLS_CLIENT_CA"),
        ({"client_ca": "server.key"}, "FLEETWIRE_TLS_CLIENT_CA"),
    ],
)
def test_files_that_cannot_be_used_are_named_in_one_line(
    tmp_path: Path, change: dict[str, str], names: str
) -> None:
    authority = Authority(tmp_path, "fleet")
    files = authority.server()
    authority.server("other")
    (tmp_path / "text.pem").write_text("this is no certificate\n")
    lock = ["openssl", "pkey", "-aes256", "-passout", "pass:secret"]
    subprocess.run([*lock, "-in", files.key, "-out", tmp_path / "locked.key"], check=True)
    wrong = dataclasses.replace(files, **{k: tmp_path / v for k, v in change.items()})
    with pytest.raises(SettingsError) as caught:
        make_context(wrong)
    text = str(caught.value)
    assert names in text
    assert str(tmp_path) in text
    assert "\n" not in text


def renew(files: TLSFiles, by: TLSFiles) -> None:
    os.replace(by.key, files.key)
    os.replace(by.certificate, files.certificate)


def test_a_reload_shows_the_new_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "fleet")
    files = authority.server()
    certificate = ServerCertificate(files)
    assert certificate.reload_if_changed() is False
    before = der_of(files.certificate)
    assert shown(certificate.context) == before
    renew(files, authority.server("next"))
    assert certificate.reload_if_changed() is True
    assert shown(certificate.context) == der_of(files.certificate) != before
    assert certificate.reload_if_changed() is False


def test_a_bad_new_file_leaves_the_old_certificate_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path, "fleet")
    files = authority.server()
    certificate = ServerCertificate(files)
    before = der_of(files.certificate)
    os.replace(authority.server("next").certificate, files.certificate)  # its key is yet to come
    assert certificate.reload_if_changed() is False
    assert certificate.reload() is False
    assert shown(certificate.context) == before
    files.certificate.unlink()
    assert certificate.reload_if_changed() is False
    assert shown(certificate.context) == before
    assert capsys.readouterr().out.count("stays in force") == 3
    os.replace(tmp_path / "next.key", files.key)
    renewed = authority.server("last")
    renew(files, renewed)
    assert certificate.reload_if_changed() is True
    assert shown(certificate.context) == der_of(files.certificate)
