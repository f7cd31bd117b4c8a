"""Messages of the model, and what was promised of each."""

from fleetwire.protocol.packets import Publish


class BrokenPromiseError(AssertionError):
    """The broker did what it must not, or did not do what it must."""


def demand(condition: bool, what: str) -> None:
    """Raise BrokenPromiseError unless the condition holds."""
    if not condition:
        raise BrokenPromiseError(what)


class Message:
    """One application message, told from all others by its payload.

    `promised_to` are the receivers, by Client Identifier, that must get it once its sender has an
    acknowledgement. `first_sent` and `last_sent` are its places among all that was ever sent.
    """

    def __init__(self, number: int, sender: str, topic: str, qos: int) -> None:
        self.number = number
        self.sender = sender
        self.topic = topic
        self.qos = qos
        self.times_sent = 0
        self.first_sent = 0
        self.last_sent = 0
        self.is_acknowledged = False
        self.promised_to: set[str] = set()

    @property
    def payload(self) -> bytes:
        """What it looks like on the wire."""
        return str(self.number).encode()

    def packet(self, packet_id: int, place: int) -> Publish:
        """Return the PUBLISH that carries it now, as the one at this place of all."""
        self.times_sent += 1
        self.first_sent = self.first_sent or place
        self.last_sent = place
        dup = self.qos > 0 and self.times_sent > 1
        return Publish(self.topic, self.payload, self.qos, False, dup, packet_id)

    def __repr__(self) -> str:
        return f"#{self.number} (QoS {self.qos} from {self.sender} to {self.topic})"


class Book:
    """All messages there are, and whether the power has ever failed."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.power_cuts = 0
        self._sent = 0

    def send(self, message: Message, packet_id: int) -> Publish:
        """Return the PUBLISH that carries the message now."""
        self._sent += 1
        return message.packet(packet_id, self._sent)

    def new(self, sender: str, topic: str, qos: int) -> Message:
        """Return a message that nobody has sent yet."""
        message = Message(len(self.messages), sender, topic, qos)
        self.messages.append(message)
        return message

    def find(self, payload: bytes) -> Message:
        """Return the message with this payload."""
        return self.messages[int(payload)]
