"""Listeners: the ways in, and the layers a connection passes before it speaks MQTT.

socket -> [PROXY header] -> [TLS] -> [WebSocket] MQTTConnection
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleetwire.errors import SettingsError
from fleetwire.net.arrivals import Arrivals
from fleetwire.net.connection import MQTTConnection, remote_of
from fleetwire.net.proxy import ProxyHeader, ProxyHeaderError, ProxyPolicy
from fleetwire.net.tls import ServerCertificate
from fleetwire.net.tls_transport import TLSTransport
from fleetwire.net.websocket import WebSocketConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.server import Server

BACKLOG = 4096  # handshakes the kernel holds for us when a whole fleet reconnects

Kind = Literal["tcp", "tls", "ws", "wss", "unix"]


@dataclass(frozen=True)
class Entrance:
    """What holds for everybody who comes in through one listener."""

    kind: Kind
    anonymous_allowed: bool
    certificate: ServerCertificate | None = None
    proxy: ProxyPolicy | None = None


class Listeners:
    """All of one server."""

    def __init__(self, server: "Server") -> None:
        self.arrivals = Arrivals(server.limits.connect_timeout_s)
        self._server = server
        self._listening: list[asyncio.Server] = []
        self._unix: list[UnixSocket] = []

    def __bool__(self) -> bool:
        return bool(self._listening)

    async def listen(self, host: str, port: int, entrance: Entrance) -> int:
        """Listen on an address; return the port. Raises SettingsError if it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            listening = await loop.create_server(
                self._factory(entrance), host, port, backlog=BACKLOG
            )
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {host}:{port}: {error.strerror or error}. "
                "Stop the program that uses this port, or choose another one."
            ) from error
        self._listening.append(listening)
        return int(listening.sockets[0].getsockname()[1])

    async def listen_unix(self, path: Path, mode: int, entrance: Entrance) -> None:
        """Listen on a Unix socket with this file mode. Raises SettingsError if it cannot be had."""
        unix = UnixSocket(path, mode)
        loop = asyncio.get_running_loop()
        listening = await loop.create_unix_server(
            self._factory(entrance), sock=unix.socket, backlog=BACKLOG
        )
        self._unix.append(unix)
        self._listening.append(listening)

    def stop(self) -> None:
        """Accept nobody more; a second call does nothing."""
        for listening in self._listening:
            listening.close()
        for unix in self._unix:
            unix.remove()

    async def close(self) -> None:
        """Cut who is still arriving, and wait for the sockets to be closed."""
        self.stop()
        self.arrivals.close()
        for listening in self._listening:
            await listening.wait_closed()

    def _factory(self, entrance: Entrance) -> Callable[[], asyncio.Protocol]:
        if entrance.proxy is None:
            return lambda: self._admit(entrance, "")
        return lambda: ProxyDoor(self, entrance)

    def _admit(self, entrance: Entrance, remote: str) -> asyncio.Protocol:
        """Return the next layer for a client at `remote`; empty means where its socket is."""
        kind = WebSocketConnection if entrance.kind in ("ws", "wss") else MQTTConnection
        connection = kind(
            self._server, entrance.anonymous_allowed, listener=entrance.kind, remote=remote
        )
        if entrance.certificate is None:
            return connection
        return TLSDoor(self, entrance, connection)


class ProxyDoor(asyncio.Protocol):
    """Reads the PROXY header, and hands the connection on."""

    def __init__(self, listeners: Listeners, entrance: Entrance) -> None:
        assert entrance.proxy is not None
        self._listeners = listeners
        self._entrance = entrance
        self._policy = entrance.proxy
        self._header = ProxyHeader(entrance.proxy.versions)
        self._transport: asyncio.Transport | None = None
        self._is_silent = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        arrivals, kind = self._listeners.arrivals, self._entrance.kind
        peer = transport.get_extra_info("peername")
        # Who may open a Unix socket is the file system's to say.
        if kind == "unix" or (isinstance(peer, tuple) and self._policy.trusts(peer[0])):
            arrivals.enter(self, transport, kind, remote_of(transport))
        else:
            reason = "may not send a PROXY header: it is not in FLEETWIRE_PROXY_FROM"
            arrivals.refuse(kind, remote_of(transport), reason)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._is_silent = False
        header, transport = self._header, self._transport
        try:
            if not header.feed(data):
                return
        except ProxyHeaderError as error:
            self._listeners.arrivals.fail(self, str(error))
            transport.abort()
            return
        self._listeners.arrivals.leave(self)
        behind = self._listeners._admit(self._entrance, header.remote)
        transport.set_protocol(behind)
        behind.connection_made(transport)
        if header.rest and not transport.is_closing():
            behind.data_received(header.rest)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "" if self._is_silent else "closed within its PROXY header"
        self._listeners.arrivals.fail(self, reason)


class TLSDoor(TLSTransport):
    """Lets a connection in when its handshake is done."""

    def __init__(
        self, listeners: Listeners, entrance: Entrance, connection: MQTTConnection
    ) -> None:
        certificate, arrivals = entrance.certificate, listeners.arrivals
        assert certificate is not None
        TLSTransport.__init__(
            self, connection, lambda: certificate.context, arrivals.leave, arrivals.fail
        )
        self._kind = entrance.kind
        self._remote = connection.remote
        self._arrivals = arrivals

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        TLSTransport.connection_made(self, transport)
        self._arrivals.enter(self, transport, self._kind, self._remote or remote_of(transport))


class UnixSocket:
    """A bound Unix socket. Raises SettingsError if it cannot be made."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        _clear(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(str(path))
            self._inode = os.stat(path).st_ino
            # Nobody can connect before listen(), so the mode is never wider than it says.
            os.chmod(path, mode)
        except OSError as error:
            self.socket.close()
            raise SettingsError(
                f"Cannot make the Unix socket {path}: {error.strerror or error}. "
                "Change FLEETWIRE_MQTT_UNIX."
            ) from None

    def remove(self) -> None:
        """Remove the file, unless another server has put its own there."""
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)


def _clear(path: Path) -> None:
    """Remove the socket of a server that ended without doing so. Raises SettingsError."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SettingsError(
                f"{path} (FLEETWIRE_MQTT_UNIX) is there already and is no socket. "
                "Remove it, or choose another path."
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:  # nobody listens any more
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except BlockingIOError:
        raise _taken(path) from None
    except OSError as error:
        raise SettingsError(
            f"Cannot make the Unix socket {path}: {error.strerror or error}. "
            "Change FLEETWIRE_MQTT_UNIX."
        ) from None
    else:
        raise _taken(path)


def _taken(path: Path) -> SettingsError:
    return SettingsError(
        f"Another program listens on {path} (FLEETWIRE_MQTT_UNIX). Stop it, or choose another path."
    )
