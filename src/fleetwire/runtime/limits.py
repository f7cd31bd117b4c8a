"""From settings to the bounds of the broker and of its connections."""

from fleetwire.broker.limits import Limits
from fleetwire.net.bans import BanLimits
from fleetwire.net.gatekeeper import GateLimits
from fleetwire.net.meter import FlowLimits
from fleetwire.net.server import ConnectionLimits
from fleetwire.settings import Settings
from fleetwire.web.realtime.hub import Bounds


def broker_limits(settings: Settings) -> Limits:
    """Return what one client may ask of the broker."""
    broker = settings.broker
    return Limits(
        queue_messages=broker.queue_messages,
        queue_bytes=broker.queue_bytes,
        queue_policy=broker.queue_policy,
        retained_messages=broker.retained_messages,
        retained_bytes=broker.retained_bytes,
        session_expiry_s=broker.session_expiry_s,
        sessions=broker.sessions,
        subscriptions=broker.subscriptions,
        topic_levels=broker.topic_levels,
        topic_bytes=broker.topic_bytes,
        window=broker.window,
        payload_bytes=broker.max_payload_bytes,
        denied_publish_disconnects=broker.denied_publish == "disconnect",
    )


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return what one connection, and who makes many of them, may ask of the server."""
    broker = settings.broker
    return ConnectionLimits(
        maximum_packet_size=broker.max_packet_bytes,
        connect_packet_size=broker.connect_packet_bytes,
        connect_timeout_s=broker.connect_timeout_s,
        receive_maximum=broker.receive_maximum,
        keep_alive_s=broker.keep_alive_s,
        write_high_bytes=broker.write_high_bytes,
        gate=GateLimits(
            broker.opening_connections,
            broker.connections_per_address,
            broker.connections_per_identity,
            broker.connects_per_s,
            broker.connects_per_s_per_address,
            bans=BanLimits(
                broker.ban_client_connects,
                broker.ban_address_connects,
                broker.ban_window_s,
                broker.ban_first_s,
                broker.ban_longest_s,
            ),
        ),
        flow=FlowLimits(broker.messages_per_s, broker.bytes_per_s, broker.burst_s),
    )


def realtime_bounds(settings: Settings) -> Bounds:
    """Return what readers of events may take up."""
    realtime = settings.realtime
    return Bounds(
        connections=realtime.connections,
        connections_per_identity=realtime.connections_per_identity,
        subscriptions=realtime.subscriptions,
        buffer_events=realtime.buffer_events,
        buffer_chars=realtime.buffer_bytes,
    )
