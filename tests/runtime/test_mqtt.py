"""The listeners of a whole server, as its settings ask for them."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwire.net.tls import TLSFiles
from fleetwire.protocol.encoder import encode_connect
from fleetwire.protocol.packets import Connect
from tests.house import House
from tests.net.certificates import Authority

CONNACK = b"\x20\x02\x00\x00"
NOT_AUTHORIZED = b"\x20\x02\x00\x05"
WAIT_S = 10.0


class Secured:
    """A house with every listener; the plain one for proxies only."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "fleet")
        self.files: TLSFiles = self.authority.server()
        self.unix = folder / "mqtt.sock"
        self.house = House(
            folder,
            environment={
                "FLEETWIRE_TLS_CERTIFICATE": str(self.files.certificate),
                "FLEETWIRE_TLS_KEY": str(self.files.key),
                "FLEETWIRE_MQTT_TLS_PORT": "0",
                "FLEETWIRE_MQTT_WSS_PORT": "0",
                "FLEETWIRE_MQTT_UNIX": str(self.unix),
                "FLEETWIRE_MQTT_UNIX_MODE": "600",
                "FLEETWIRE_PROXY_PROTOCOL": "v1",
                "FLEETWIRE_PROXY_LISTENERS": "tcp",
            },
        )
        self.house.start()
        self.ports = json.loads((folder / "ready.json").read_text())

    def connect(self, name: str) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.ports[name]), WAIT_S)
        context = ssl.create_default_context(cafile=self.authority.path)
        return context.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    secured = Secured(tmp_path_factory.mktemp("secured"))
    yield secured
    secured.house.close()


def answer(connection: socket.socket, before: bytes = b"") -> bytes:
    connection.settimeout(WAIT_S)
    connection.sendall(before + encode_connect(Connect(4, "c", True, 60)))
    return connection.recv(4)


def test_tls_and_the_unix_socket_serve_this_machine(secured: Secured) -> None:
    with secured.connect("mqtts") as connection:
        assert answer(connection) == CONNACK
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(str(secured.unix))
        assert answer(unix) == CONNACK
    with secured.connect("mqtt_wss") as connection:
        connection.sendall(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 404"


def test_what_a_proxy_brings_needs_credentials(secured: Secured) -> None:
    header = b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 1883\r\n"
    with socket.create_connection(("127.0.0.1", secured.house.mqtt_port)) as connection:
        assert answer(connection, header) == NOT_AUTHORIZED
    assert "203.0.113.9:40000" in secured.house.log()


def test_every_listener_is_shown_at_the_start(secured: Secured) -> None:
    log = secured.house.log()
    assert f"mqtts://127.0.0.1:{secured.ports['mqtts']}" in log
    assert f"wss://127.0.0.1:{secured.ports['mqtt_wss']}/mqtt" in log


def test_sighup_takes_the_new_certificate_and_keeps_connections(secured: Secured) -> None:
    with secured.connect("mqtts") as before:
        assert answer(before) == CONNACK
        renewed = secured.authority.server("renewed")
        os.replace(renewed.key, secured.files.key)
        os.replace(renewed.certificate, secured.files.certificate)
        new = ssl.PEM_cert_to_DER_cert(secured.files.certificate.read_text())
        os.kill(secured.house.pid, signal.SIGHUP)
        ends_at = time.monotonic() + WAIT_S
        while True:
            with secured.connect("mqtts") as after:
                if after.getpeercert(binary_form=True) == new:
                    break
            assert time.monotonic() < ends_at, "the new certificate is not shown"
        before.sendall(b"\xc0\x00")
        assert before.recv(2) == b"\xd0\x00"


def test_a_missing_certificate_stops_the_start_with_one_line(tmp_path: Path) -> None:
    environment = dict(os.environ) | {
        "FLEETWIRE_TLS_CERTIFICATE": "none.pem",
        "FLEETWIRE_TLS_KEY": "none.key",
        "FLEETWIRE_HTTP_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "fleetwire.cli.main", "serve"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    told = ended.stderr + ended.stdout
    assert "FLEETWIRE_TLS_CERTIFICATE" in told
    assert "Traceback" not in told
