"""Frames: messages as the bytes of PUBLISH, what is the same for many made once."""

from fleetwire.broker.session import Outgoing, Session
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_publish, publish_head
from fleetwire.protocol.packets import Properties, Publish

REMEMBERED_HEADS = 4096


class Frames:
    """Makes PUBLISH packets for the courier."""

    def __init__(self) -> None:
        # What stands before the packet id, by Topic Name, size of the payload, first byte, version.
        self._heads: dict[tuple[str, int, int], bytes] = {}

    def plain(self, publishes: list[Publish], version: int) -> bytes:
        """Return messages with QoS 0 of one Topic Name, none with properties, in one piece."""
        parts: list[bytes] = []
        size = -1
        head = b""
        for publish in publishes:
            payload = publish.payload
            if len(payload) != size:
                size = len(payload)
                head = publish_head(publish.topic_name, size, 0x30, version)
            parts.append(head)
            parts.append(payload)
        return b"".join(parts)

    def head(self, topic_name: str, size: int, first: int, version: int) -> bytes:
        """Return what stands before the packet id of a PUBLISH with QoS 1 or 2, no properties."""
        key = (topic_name, size, first | version << 8)
        head = self._heads.get(key)
        if head is None:
            head = publish_head(topic_name, size, first, version)
            if len(self._heads) >= REMEMBERED_HEADS:
                self._heads.clear()
            self._heads[key] = head
        return head

    def kept(self, outgoing: Outgoing, dup: bool, version: int) -> bytes:
        """Return a message with QoS 1 or 2 and no properties: all but its packet id is shared."""
        publish = outgoing.publish
        payload = publish.payload
        size = len(payload)
        first = 0x30 | outgoing.qos << 1
        if outgoing.retain:
            first |= 1
        if dup:
            first |= 8
        head = self.head(publish.topic_name, size, first, version)
        if version == c.V5:
            return head + (outgoing.packet_id << 8).to_bytes(3, "big") + payload
        return head + outgoing.packet_id.to_bytes(2, "big") + payload

    def special(
        self,
        session: Session,
        version: int,
        publish: Publish,
        qos: int,
        retain: bool,
        dup: bool,
        packet_id: int,
        properties: Properties | None,
    ) -> bytes:
        """Return any PUBLISH, under its Topic Alias where the client takes such."""
        topic_name = publish.topic_name
        aliases = session.topic_aliases
        if aliases is None:
            return encode_publish(
                topic_name, publish.payload, qos, retain, dup, packet_id, properties, version
            )
        alias, is_known = aliases.find(topic_name)
        if alias:
            properties = dict(properties) if properties else {}
            properties[c.TOPIC_ALIAS] = alias
        frame = encode_publish(
            "" if is_known else topic_name,
            publish.payload,
            qos,
            retain,
            dup,
            packet_id,
            properties,
            version,
        )
        fits = not session.maximum_packet_size or len(frame) <= session.maximum_packet_size
        if alias and not is_known and fits:
            aliases.learn(topic_name, alias)
        return frame
