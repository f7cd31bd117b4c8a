"""What can be wrong with the bytes of a connection, each with the reason code that says so."""

from typing import ClassVar

from fleetwire.errors import FleetwireError
from fleetwire.protocol import constants as c


class ProtocolError(FleetwireError):
    """The other side, or the caller, did what MQTT does not allow.

    `reason_code` is the MQTT 5 reason code with which a connection is closed for it.
    """

    reason_code: ClassVar[int] = c.PROTOCOL_ERROR


class MalformedPacketError(ProtocolError):
    """The bytes do not follow the layout of the packet they claim to be."""

    reason_code = c.MALFORMED_PACKET


class UnsupportedProtocolVersionError(ProtocolError):
    """CONNECT asks for a protocol level that we do not speak."""

    reason_code = c.UNSUPPORTED_PROTOCOL_VERSION


class PacketTooLargeError(ProtocolError):
    """A packet is larger than its receiver accepts."""

    reason_code = c.PACKET_TOO_LARGE


class ReceiveMaximumExceededError(ProtocolError):
    """More PUBLISH packets with QoS 1 or 2 are unacknowledged than the receiver allows."""

    reason_code = c.RECEIVE_MAXIMUM_EXCEEDED


class TopicAliasInvalidError(ProtocolError):
    """A Topic Alias is unknown, or larger than the receiver allows."""

    reason_code = c.TOPIC_ALIAS_INVALID


class InvalidTopicError(ProtocolError):
    """A Topic Name, or a template of Topic Names, breaks the rules of MQTT 5.0 §4.7."""

    reason_code = c.TOPIC_NAME_INVALID


class TopicFilterInvalidError(InvalidTopicError):
    """A Topic Filter breaks the rules of MQTT 5.0 §4.7 or §4.8."""

    reason_code = c.TOPIC_FILTER_INVALID


class NotConnectedError(ProtocolError):
    """The client is not connected, so this cannot be sent."""


class PacketIdsExhaustedError(ProtocolError):
    """All 65,535 packet identifiers are in use."""

    reason_code = c.QUOTA_EXCEEDED
