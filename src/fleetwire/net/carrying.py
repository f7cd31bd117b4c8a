"""What a connected client sends, carried out: packets to the broker, in order, many at once."""

import time

import structlog

from fleetwire.broker.session import Session
from fleetwire.net.exchange import hear_auth
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import PINGRESP_BYTES
from fleetwire.protocol.packets import (
    Ack,
    Auth,
    Disconnect,
    Packet,
    Publish,
    Subscribe,
    Unsubscribe,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.connection import MQTTConnection

log = structlog.get_logger("fleetwire.net")


def carry_out(connection: "MQTTConnection", packets: list[Packet]) -> None:
    """Hand runs of packets of one kind to the broker, in order."""
    index = 0
    count = len(packets)
    broker = connection.server.broker
    while index < count and not connection.closed:
        session = connection.session
        if session is None:
            return
        first = packets[index]
        kind = first.type
        if kind == c.PUBLISH or c.PUBACK <= kind <= c.PUBCOMP:
            end = index + 1
            if kind == c.PUBLISH:
                while end < count and packets[end].type == c.PUBLISH:
                    end += 1
            else:
                while end < count and c.PUBACK <= packets[end].type <= c.PUBCOMP:
                    end += 1
            run = packets if end - index == count else packets[index:end]
            now = time.time_ns() // 1000
            if kind == c.PUBLISH:
                publishes: list[Publish] = run  # type: ignore[assignment]  # a run of one kind
                broker.publish(session, publishes, now)
            else:
                acks: list[Ack] = run  # type: ignore[assignment]  # a run of one kind
                broker.acknowledge(session, acks, now)
            index = end
            continue
        index += 1
        if kind == c.PINGREQ:
            connection.write(PINGRESP_BYTES)
        elif isinstance(first, Subscribe):
            _subscribe(connection, session, first)
        elif isinstance(first, Unsubscribe):
            broker.unsubscribe(session, first)
        elif isinstance(first, Auth):
            hear_auth(connection, session, first)
        elif isinstance(first, Disconnect):
            _disconnected_by_client(connection, session, first)
            return


def _subscribe(connection: "MQTTConnection", session: Session, packet: Subscribe) -> None:
    client = connection.client
    outcome = connection.server.broker.subscribe(session, packet, time.time_ns() // 1000)
    if client is None:
        return
    for topic_filter, code in outcome:
        if code < 0x80:
            connection.server.tell_listening(client, topic_filter)
        else:
            reason = f"SUBSCRIBE {topic_filter[:200]!r}: {c.reason_name(code)}"
            log.warning(
                "subscription refused",
                client_id=client.client_id,
                identity=client.grant.identity,
                remote=connection.remote,
                reason=reason,
            )
            connection.server.tell_refused(
                client.client_id, client.grant.identity, connection.remote, reason
            )


def _disconnected_by_client(
    connection: "MQTTConnection", session: Session, packet: Disconnect
) -> None:
    # [MQTT-3.14.4-3] A normal DISCONNECT discards the Will; 0x04 asks for it.
    connection.with_will = packet.reason_code != c.NORMAL_DISCONNECTION
    asked = (packet.properties or {}).get(c.SESSION_EXPIRY_INTERVAL)
    if isinstance(asked, int):
        if session.expiry_interval == 0 and asked:
            # An expiry of zero at CONNECT cannot be raised at DISCONNECT (§3.14.2.2.2): that is
            # a protocol error and no normal end.
            connection.with_will = True
            connection.close(c.PROTOCOL_ERROR, "protocol error")
            return
        connection.server.broker.change_expiry(session, asked)
    connection.reason = "disconnect"
    connection.finish()
