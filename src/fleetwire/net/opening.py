"""Opening: from CONNECT to CONNACK, the only exchange that waits.

Who the client is (at once, or in the steps of an exchange), whether it may take this Client
Identifier, and what the server tells it of its limits. Everything after it is decided from memory.
"""

import asyncio
import secrets
import time

import structlog

from fleetwire.broker.broker import Opened
from fleetwire.broker.grants import Grant
from fleetwire.errors import FleetwireError
from fleetwire.net.authenticator import Admission, Exchange, Offer, RefusedError
from fleetwire.net.clients import Client
from fleetwire.net.exchange import (
    ExchangeEndedError,
    auth_properties,
    converse,
    data_of,
    method_of,
)
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connack
from fleetwire.protocol.errors import ProtocolError
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
        _check_will(connection, connect)
        admission = await _admission(connection, connect, client_id)
        if connection.closed or connection.transport is None or connection.transport.is_closing():
            return
        properties = _told(connection, connect, client_id, assigned, admission)
        opened = connection.server.broker.open(
            connection, connect, client_id, admission.grant, time.time_ns() // 1000
        )
        if opened.session is None:
            raise ConnectRefusedError(opened.reason, opened.reason_code)
    except ExchangeEndedError:
        connection.finish()
    except ConnectRefusedError as error:
        _refuse(connection, connect, client_id, error.reason, error.reason_code)
    except Exception:
        # Whatever it is, the client must not wait for ever.
        log.exception("CONNECT could not be answered", remote=connection.remote)
        _refuse(connection, connect, client_id, "an error of the server", c.UNSPECIFIED_ERROR)
    else:
        _accept(connection, connect, opened, properties)


def _assigned_client_id(connect: Connect) -> str:
    if connect.protocol_version == c.V31:
        raise ConnectRefusedError("MQTT 3.1 needs a client id", c.CLIENT_IDENTIFIER_NOT_VALID)
    # [MQTT-3.1.3-8] 3.1.1 lets only a clean session go without a Client Identifier.
    if connect.protocol_version < c.V5 and not connect.clean_start:
        raise ConnectRefusedError(
            "an empty client id needs a clean session", c.CLIENT_IDENTIFIER_NOT_VALID
        )
    return "auto-" + secrets.token_hex(8)


def _check_will(connection: "MQTTConnection", connect: Connect) -> None:
    # [MQTT-3.2.2-13] CONNACK would tell it that retained messages are not kept here.
    will = connect.will
    if will is None or not will.retain or _retains(connection):
        return
    if connection.version == c.V5:
        raise ConnectRefusedError("retained messages are not kept here", c.RETAIN_NOT_SUPPORTED)


def _retains(connection: "MQTTConnection") -> bool:
    return connection.server.broker.limits.retained_messages > 0


async def _admission(connection: "MQTTConnection", connect: Connect, client_id: str) -> Admission:
    """Return what the client may do; waits if two clients fight over the Client Identifier.

    Raises ConnectRefusedError, ExchangeEndedError.
    """
    server = connection.server
    offer = Offer(
        client_id,
        connect.username,
        connect.password,
        connection.remote,
        connection.anonymous_allowed,
        connection.certificate,
    )
    method = method_of(connect)
    try:
        if method:
            exchange = server.authenticator.begin(method, offer)
            admission = await _converse(connection, connect, exchange, method)
        else:
            admission = Admission(await server.authenticator.authenticate(offer))
        server.recognise(admission.grant, client_id, connection.remote)
        known = server.broker.sessions.get(client_id)
        if known is not None and known.link is not None:
            pause_s = server.takeover_pause_s(client_id)
            if pause_s:
                log.warning("client id fought over", client_id=client_id, remote=connection.remote)
                await asyncio.sleep(pause_s)
                # It may have been revoked meanwhile. An exchange is not repeated for that.
                if not method:
                    admission = Admission(await server.authenticator.authenticate(offer))
                elif not server.authenticator.stands(admission.grant):
                    raise RefusedError("credential revoked")
    except RefusedError as error:
        raise ConnectRefusedError(error.reason, error.reason_code) from None
    except ProtocolError as error:
        raise ConnectRefusedError(str(error), error.reason_code) from None
    except (ConnectRefusedError, ExchangeEndedError):
        raise
    except FleetwireError as error:
        raise ConnectRefusedError(str(error), c.SERVER_UNAVAILABLE) from None
    grant = admission.grant
    if connect.will is not None and not grant.may_publish(connect.will.topic_name):
        raise ConnectRefusedError(
            f"{grant.identity} may not publish its Will to this topic", c.NOT_AUTHORIZED
        )
    return admission


async def _converse(
    connection: "MQTTConnection", connect: Connect, exchange: Exchange, method: str
) -> Admission:
    inbox = connection.begin_exchange(method)
    return await converse(connection, exchange, inbox, data_of(connect, method))


def _keep_alive(connection: "MQTTConnection", connect: Connect) -> int:
    """Return the Keep Alive in force, in seconds; ours where an MQTT 5 client asks for none."""
    if connection.version == c.V5 and not connect.keep_alive:
        return connection.server.limits.keep_alive_s
    return connect.keep_alive


def _told(
    connection: "MQTTConnection",
    connect: Connect,
    client_id: str,
    assigned: str,
    admission: Admission,
) -> Properties | None:
    """Return what CONNACK tells an MQTT 5 client. Raises ConnectRefusedError if it cannot read it.

    What is left out is so by default (§3.2.2.3): QoS 2, wildcards, Subscription Identifiers and
    shared subscriptions are available.
    """
    if connection.version != c.V5:
        return None
    limits = connection.server.limits
    properties: Properties = {
        c.RECEIVE_MAXIMUM: limits.receive_maximum,
        c.MAXIMUM_PACKET_SIZE: limits.maximum_packet_size,
        c.TOPIC_ALIAS_MAXIMUM: connection.protocol.topic_alias_maximum,
    }
    if not _retains(connection):
        properties[c.RETAIN_AVAILABLE] = 0
    if assigned:
        properties[c.ASSIGNED_CLIENT_IDENTIFIER] = assigned
    said = connect.properties or {}
    expiry_interval = connection.server.broker.expiry_interval(connect)
    if expiry_interval != said.get(c.SESSION_EXPIRY_INTERVAL, 0):
        properties[c.SESSION_EXPIRY_INTERVAL] = expiry_interval
    keep_alive = _keep_alive(connection, connect)
    if keep_alive != connect.keep_alive:
        properties[c.SERVER_KEEP_ALIVE] = keep_alive
    if said.get(c.REQUEST_RESPONSE_INFORMATION) == 1:
        # [MQTT-3.1.2-28] Only to who asks.
        prefix = _response_prefix(admission.grant, client_id)
        if prefix:
            properties[c.RESPONSE_INFORMATION] = prefix
    method = method_of(connect)
    if method:
        properties |= auth_properties(method, admission.data)
    if not _fits(connect, encode_connack(False, 0, properties, c.V5)):
        raise ConnectRefusedError(
            "the client's Maximum Packet Size has no room for CONNACK", c.PACKET_TOO_LARGE
        )
    return properties


def _fits(connect: Connect, packet: bytes) -> bool:
    """Say whether the client accepts a packet of this size [MQTT-3.1.2-24]."""
    limit = (connect.properties or {}).get(c.MAXIMUM_PACKET_SIZE, 0)
    return not (isinstance(limit, int) and 0 < limit < len(packet))


def _accept(
    connection: "MQTTConnection", connect: Connect, opened: Opened, properties: Properties | None
) -> None:
    session = opened.session
    assert session is not None
    version = connection.version
    if opened.is_told_late:
        # After a loss of power the old session would be back, its packet ids taken as known.
        connection.hold_back()
    connection.write(encode_connack(opened.session_present, 0, properties, version))
    client = Client(
        session.client_id,
        session.grant,
        connection.remote,
        VERSION_NAMES[version],
        time.time_ns() // 1000,
        connection.listener,
    )
    connection.opened(session, client, _keep_alive(connection, connect))


def _response_prefix(grant: Grant, client_id: str) -> str:
    """Return a topic under which the client may subscribe to everything, "" if there is none."""
    for allowed in grant.subscribe:
        prefix = f"responses/{client_id}" if allowed == "#" else allowed.removesuffix("/#")
        if prefix != allowed and "+" not in prefix and "#" not in prefix and prefix[0] != "$":
            return prefix
    return ""


def _refuse(
    connection: "MQTTConnection", connect: Connect, client_id: str, reason: str, reason_code: int
) -> None:
    server = connection.server
    server.broker.stats.refuse_connection(reason_code)
    server.tell_refused(client_id, "", connection.remote, reason)
    # Up to the first quotation: there it names what the client chose, each time something else.
    kind = reason.partition("'")[0]
    left_out = server.refusals.note(connection.remote, kind, time.monotonic())
    if left_out is not None:
        log.warning(
            "client refused",
            client_id=client_id[:64],
            remote=connection.remote,
            reason=reason,
            left_out=left_out,
        )
    is_v5 = connection.version == c.V5
    code = reason_code if is_v5 else c.return_code(reason_code)
    bare = encode_connack(False, code, None, connection.version)
    connack = encode_connack(False, code, {c.REASON_STRING: reason}, c.V5) if is_v5 else bare
    # [MQTT-3.2.2-7] [MQTT-4.12.0-4], the reason in words only if it fits [MQTT-3.2.2-19].
    if _fits(connect, connack):
        connection.write(connack)
    elif _fits(connect, bare):
        connection.write(bare)
    connection.finish()
