"""Opening: from CONNECT to CONNACK, the only exchange that waits.

Who the client is, whether it may take this Client Identifier, and what the server tells it of its
limits. Everything after it is decided from memory.
"""

import asyncio
import secrets
import time

import structlog

from fleetwire.broker.broker import Opened
from fleetwire.broker.grants import Grant
from fleetwire.errors import FleetwireError
from fleetwire.net.authenticator import Offer, RefusedError
from fleetwire.net.clients import Client
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connack
from fleetwire.protocol.packets import Connect, Properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.connection import MQTTConnection

log = structlog.get_logger("fleetwire.net")

VERSION_NAMES = {c.V31: "3.1", c.V311: "3.1.1", c.V5: "5.0"}
CLIENT_ID_LENGTH = 256  # longer ids are no names; they would only fill memory and logs


class ConnectRefusedError(FleetwireError):
    """The CONNECT is answered with this reason code, and the connection closed."""

    def __init__(self, reason: str, reason_code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reason_code = reason_code


async def answer_connect(connection: "MQTTConnection", connect: Connect) -> None:
    """Write CONNACK, and hand the session to the connection if the client may have one."""
    client_id = connect.client_id
    try:
        assigned = ""
        if not client_id:
            assigned = client_id = _assigned_client_id(connect)
        if len(client_id) > CLIENT_ID_LENGTH:
            raise ConnectRefusedError(
                f"the client id is longer than {CLIENT_ID_LENGTH}", c.CLIENT_IDENTIFIER_NOT_VALID
            )
        grant = await _grant(connection, connect, client_id)
        if connection.closed or connection.transport is None or connection.transport.is_closing():
            return
        opened = connection.server.broker.open(
            connection, connect, client_id, grant, time.time_ns() // 1000
        )
        if opened.session is None:
            raise ConnectRefusedError(opened.reason, opened.reason_code)
    except ConnectRefusedError as error:
        _refuse(connection, client_id, error.reason, error.reason_code)
    else:
        _accept(connection, connect, opened, assigned)


def _assigned_client_id(connect: Connect) -> str:
    # [MQTT-3.1.3-8] 3.1.1 lets only a clean session go without a Client Identifier.
    if connect.protocol_version < c.V5 and not connect.clean_start:
        raise ConnectRefusedError(
            "an empty client id needs a clean session", c.CLIENT_IDENTIFIER_NOT_VALID
        )
    return "auto-" + secrets.token_hex(8)


async def _grant(connection: "MQTTConnection", connect: Connect, client_id: str) -> Grant:
    """Return what the client may do; waits if two clients fight over the Client Identifier."""
    if c.AUTHENTICATION_METHOD in (connect.properties or {}):
        # [MQTT-4.12.0-1] None is supported yet.
        raise ConnectRefusedError("no enhanced authentication here", c.BAD_AUTHENTICATION_METHOD)
    server = connection.server
    offer = Offer(
        client_id,
        connect.username,
        connect.password,
        connection.remote,
        connection.anonymous_allowed,
    )
    grant = await _ask(connection, connect, offer)
    known = server.broker.sessions.get(client_id)
    if known is not None and known.link is not None:
        pause_s = server.takeover_pause_s(client_id)
        if pause_s:
            log.warning("client id fought over", client_id=client_id, remote=connection.remote)
            await asyncio.sleep(pause_s)
            grant = await _ask(connection, connect, offer)  # it may have been revoked meanwhile
    return grant


async def _ask(connection: "MQTTConnection", connect: Connect, offer: Offer) -> Grant:
    """Return what the client may do. Raises ConnectRefusedError."""
    try:
        grant = await connection.server.authenticator.authenticate(offer)
    except RefusedError as error:
        raise ConnectRefusedError(error.reason, error.reason_code) from None
    except FleetwireError as error:
        raise ConnectRefusedError(str(error), c.SERVER_UNAVAILABLE) from None
    if connect.will is not None and not grant.may_publish(connect.will.topic_name):
        raise ConnectRefusedError(
            f"{grant.identity} may not publish its Will to this topic", c.NOT_AUTHORIZED
        )
    return grant


def _accept(connection: "MQTTConnection", connect: Connect, opened: Opened, assigned: str) -> None:
    session = opened.session
    assert session is not None
    limits = connection.server.limits
    version = connection.version
    keep_alive = connect.keep_alive
    properties: Properties | None = None
    if version == c.V5:
        properties = {
            c.RECEIVE_MAXIMUM: limits.receive_maximum,
            c.MAXIMUM_PACKET_SIZE: limits.maximum_packet_size,
            c.TOPIC_ALIAS_MAXIMUM: connection.protocol.topic_alias_maximum,
            c.SHARED_SUBSCRIPTION_AVAILABLE: 0,
        }
        if assigned:
            properties[c.ASSIGNED_CLIENT_IDENTIFIER] = assigned
        asked = (connect.properties or {}).get(c.SESSION_EXPIRY_INTERVAL, 0)
        if session.expiry_interval != asked:
            properties[c.SESSION_EXPIRY_INTERVAL] = session.expiry_interval
        if limits.keep_alive_s and not keep_alive:
            keep_alive = limits.keep_alive_s
            properties[c.SERVER_KEEP_ALIVE] = keep_alive
    connection.write(encode_connack(opened.session_present, 0, properties, version))
    client = Client(
        session.client_id,
        session.grant,
        connection.remote,
        VERSION_NAMES[version],
        time.time_ns() // 1000,
    )
    connection.opened(session, client, keep_alive)


def _refuse(connection: "MQTTConnection", client_id: str, reason: str, reason_code: int) -> None:
    server = connection.server
    server.broker.stats.connections_refused += 1
    server.tell_refused(client_id, "", connection.remote, reason)
    log.warning("client refused", client_id=client_id[:64], remote=connection.remote, reason=reason)
    is_v5 = connection.version == c.V5
    code = reason_code if is_v5 else c.return_code(reason_code)
    properties: Properties | None = {c.REASON_STRING: reason} if is_v5 else None
    connection.write(encode_connack(False, code, properties, connection.version))
    connection.finish()
