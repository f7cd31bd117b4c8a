"""Dialing: from an address to an answered CONNECT, over TCP, TLS or WebSocket."""

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass

from fleetwire.errors import FleetwireError
from fleetwire.net.websocket_tunnel import WebSocketTunnel
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Connack, Properties

# What a CONNACK of 3.1 and 3.1.1 says, in the words of MQTT 5.
_REASON_OF_RETURN_CODE = {
    c.REFUSED_PROTOCOL_VERSION: c.UNSUPPORTED_PROTOCOL_VERSION,
    c.REFUSED_IDENTIFIER_REJECTED: c.CLIENT_IDENTIFIER_NOT_VALID,
    c.REFUSED_SERVER_UNAVAILABLE: c.SERVER_UNAVAILABLE,
    c.REFUSED_BAD_USER_NAME_OR_PASSWORD: c.BAD_USER_NAME_OR_PASSWORD,
    c.REFUSED_NOT_AUTHORIZED: c.NOT_AUTHORIZED,
}


class ClientError(FleetwireError):
    """The client could not do what was asked of it; the text says why."""


class UnreachableError(ClientError):
    """No connection came about.

    `cause` is one of "refused" (nothing listens there), "timeout", "name" (the host is not known),
    "tls", "websocket", "closed" (by the other side, before it said anything that we understand) and
    "network".
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class ConnectionRefusedByServerError(ClientError):
    """CONNACK says no. `reason_code` is MQTT 5's, also from an older server."""

    def __init__(self, reason_code: int, reason: str) -> None:
        words = f"{c.reason_name(reason_code)} (0x{reason_code:02X})"
        super().__init__(f"{words}: {reason}" if reason else words)
        self.reason_code = reason_code


class ConnectionLostError(ClientError):
    """The connection ended. What was not acknowledged may or may not have arrived."""


@dataclass(frozen=True)
class Endpoint:
    """Where a server is; `websocket` is the path of a WebSocket, None for MQTT right on TCP."""

    host: str
    port: int
    websocket: str | None = None


async def dial(
    protocol: asyncio.Protocol,
    endpoint: Endpoint,
    answer: "asyncio.Future[Connack]",
    *,
    version: int,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 10.0,
) -> Connack:
    """Connect the protocol, which writes CONNECT of `version`, and return what comes of `answer`.

    Raises UnreachableError, or ConnectionRefusedByServerError; nothing is connected then.
    """
    loop = asyncio.get_running_loop()
    host, port = endpoint.host, endpoint.port
    where = f"{host}:{port}"

    def no_websocket(reason: str) -> None:
        if not answer.done():
            answer.set_exception(
                UnreachableError(f"{where} opens no WebSocket for MQTT: {reason}", "websocket")
            )
            answer.exception()  # nobody need be waiting

    def make() -> asyncio.Protocol:
        if endpoint.websocket is None:
            return protocol
        path = endpoint.websocket
        return WebSocketTunnel(protocol, host, port, path, tls is not None, no_websocket)

    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await loop.create_connection(make, host, port, ssl=tls)
            try:
                connack = await answer
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        raise UnreachableError(
            f"{where} did not answer within {timeout_s:g} s", "timeout"
        ) from None
    except ConnectionLostError as error:
        raise UnreachableError(f"{where}: {error}", "closed") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise UnreachableError(f"{where} and we agree on no TLS: {reason}", "tls") from None
    except ConnectionRefusedError:
        raise UnreachableError(f"Nothing listens at {where}", "refused") from None
    except ConnectionError:  # reset, before there was a connection
        cause = "closed" if tls is None else "tls"
        agreed = "" if tls is None else " instead of agreeing on TLS"
        raise UnreachableError(f"{where} closed the connection{agreed}", cause) from None
    except socket.gaierror:
        raise UnreachableError(f"The name {host!r} is not known", "name") from None
    except OSError as error:
        # A name with several addresses fails with all their errors in one text.
        if error.errno is None and f"[Errno {errno.ECONNREFUSED}]" in str(error):
            raise UnreachableError(f"Nothing listens at {where}", "refused") from None
        raise UnreachableError(
            f"{where} cannot be reached: {error.strerror or error}", "network"
        ) from None
    if connack.reason_code != c.SUCCESS:
        transport.abort()
        code = connack.reason_code
        if version != c.V5:
            code = _REASON_OF_RETURN_CODE.get(code, c.UNSPECIFIED_ERROR)
        raise ConnectionRefusedByServerError(code, reason_string(connack.properties))
    return connack


def reason_string(properties: Properties | None) -> str:
    """Return the Reason String among these properties, "" without one."""
    reason = (properties or {}).get(c.REASON_STRING)
    return reason if isinstance(reason, str) else ""
