"""The control packets of MQTT as plain values (MQTT 5.0 §3).

Packets hold what was in the bytes, or what will be; the rules for that are the decoder's and the
encoder's. `properties` is None where a packet has none, and always below MQTT 5.
"""

from fleetwire.protocol import constants as c

# User Property is a list of pairs, Subscription Identifier a list of ints; each other one a value.
PropertyValue = int | str | bytes | list[int] | list[tuple[str, str]]
Properties = dict[int, PropertyValue]

_TYPE_NAMES = (
    *("Reserved", "Connect", "Connack", "Publish", "Puback", "Pubrec", "Pubrel", "Pubcomp"),
    *("Subscribe", "Suback", "Unsubscribe", "Unsuback", "Pingreq", "Pingresp", "Disconnect"),
    "Auth",
)


class Packet:
    """Any control packet. Two are equal if they are of one class and hold the same."""

    __slots__ = ()
    type: int = 0  # which no control packet has

    def fields(self) -> tuple[object, ...]:
        """Return what the packet holds, in the order of its constructor."""
        return ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet) or self.__class__ is not other.__class__:
            return NotImplemented
        return self.type == other.type and self.fields() == other.fields()

    __hash__ = None  # type: ignore[assignment]  # packets are changed after they are made

    def __repr__(self) -> str:
        # Properties are left out: Authentication Data is as secret as a password.
        shown = [field for field in self.fields() if not isinstance(field, dict)]
        inside = ", ".join([repr(field) for field in shown if field is not None])
        return f"{_TYPE_NAMES[self.type]}({inside})"


class Publish(Packet):
    """PUBLISH: one Application Message on its way. `packet_id` is 0 with QoS 0."""

    __slots__ = ("dup", "packet_id", "payload", "properties", "qos", "retain", "topic_name")
    type = c.PUBLISH

    def __init__(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.topic_name = topic_name
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (
            *(self.topic_name, self.payload, self.qos, self.retain),
            *(self.dup, self.packet_id, self.properties),
        )

    def __repr__(self) -> str:
        # Payloads are people's data and have no place in a log.
        return (
            f"Publish({self.topic_name!r}, <{len(self.payload)} bytes>, qos={self.qos}, "
            f"retain={self.retain}, dup={self.dup}, packet_id={self.packet_id})"
        )


class Ack(Packet):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; `type` says which."""

    __slots__ = ("packet_id", "properties", "reason_code", "type")

    def __init__(
        self,
        type: int,
        packet_id: int,
        reason_code: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.type = type
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.packet_id, self.reason_code, self.properties)


class Connect(Packet):
    """CONNECT. The Will is a Publish without packet id; its properties are the Will Properties."""

    __slots__ = (
        "clean_start",
        "client_id",
        "keep_alive",
        "password",
        "properties",
        "protocol_version",
        "username",
        "will",
    )
    type = c.CONNECT

    def __init__(
        self,
        protocol_version: int,
        client_id: str,
        clean_start: bool = True,
        keep_alive: int = 0,
        username: str | None = None,
        password: bytes | None = None,
        will: Publish | None = None,
        properties: Properties | None = None,
    ) -> None:
        self.protocol_version = protocol_version
        self.client_id = client_id
        self.clean_start = clean_start
        self.keep_alive = keep_alive  # seconds, 0 = none
        self.username = username
        self.password = password
        self.will = will
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (
            *(self.protocol_version, self.client_id, self.clean_start, self.keep_alive),
            *(self.username, self.password, self.will, self.properties),
        )

    def __repr__(self) -> str:
        password = None if self.password is None else "<hidden>"
        return (
            f"Connect({self.protocol_version}, {self.client_id!r}, "
            f"clean_start={self.clean_start}, keep_alive={self.keep_alive}, "
            f"username={self.username!r}, password={password}, will={self.will!r})"
        )


class Connack(Packet):
    """CONNACK. Below MQTT 5 `reason_code` holds the return code."""

    __slots__ = ("properties", "reason_code", "session_present")
    type = c.CONNACK

    def __init__(
        self,
        session_present: bool,
        reason_code: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = session_present
        self.reason_code = reason_code
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.session_present, self.reason_code, self.properties)


class Subscription:
    """One Topic Filter of a SUBSCRIBE with its options (§3.8.3.1); below MQTT 5 only `qos`."""

    __slots__ = ("no_local", "qos", "retain_as_published", "retain_handling", "topic_filter")

    def __init__(
        self,
        topic_filter: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling  # 0 always, 1 if new, 2 never

    def fields(self) -> tuple[object, ...]:
        """Return what it holds, in the order of its constructor."""
        return (
            *(self.topic_filter, self.qos, self.no_local),
            *(self.retain_as_published, self.retain_handling),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and self.fields() == other.fields()

    __hash__ = None  # type: ignore[assignment]  # as packets

    def __repr__(self) -> str:
        return f"Subscription({', '.join(repr(field) for field in self.fields())})"


class Subscribe(Packet):
    """SUBSCRIBE."""

    __slots__ = ("packet_id", "properties", "subscriptions")
    type = c.SUBSCRIBE

    def __init__(
        self,
        packet_id: int,
        subscriptions: list[Subscription],
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.subscriptions = subscriptions
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.packet_id, self.subscriptions, self.properties)


class Suback(Packet):
    """SUBACK: one reason code for each subscription asked for, in their order."""

    __slots__ = ("packet_id", "properties", "reason_codes")
    type = c.SUBACK

    def __init__(
        self, packet_id: int, reason_codes: list[int], properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.packet_id, self.reason_codes, self.properties)


class Unsubscribe(Packet):
    """UNSUBSCRIBE."""

    __slots__ = ("packet_id", "properties", "topic_filters")
    type = c.UNSUBSCRIBE

    def __init__(
        self, packet_id: int, topic_filters: list[str], properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.topic_filters = topic_filters
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.packet_id, self.topic_filters, self.properties)


class Unsuback(Packet):
    """UNSUBACK: one reason code for each Topic Filter; none below MQTT 5."""

    __slots__ = ("packet_id", "properties", "reason_codes")
    type = c.UNSUBACK

    def __init__(
        self, packet_id: int, reason_codes: list[int], properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.packet_id, self.reason_codes, self.properties)


class Pingreq(Packet):
    """PINGREQ."""

    __slots__ = ()
    type = c.PINGREQ


class Pingresp(Packet):
    """PINGRESP."""

    __slots__ = ()
    type = c.PINGRESP


class Disconnect(Packet):
    """DISCONNECT; below MQTT 5 without a reason."""

    __slots__ = ("properties", "reason_code")
    type = c.DISCONNECT

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.reason_code, self.properties)


class Auth(Packet):
    """AUTH, a step of enhanced authentication (§4.12); MQTT 5 only."""

    __slots__ = ("properties", "reason_code")
    type = c.AUTH

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties

    def fields(self) -> tuple[object, ...]:
        return (self.reason_code, self.properties)
