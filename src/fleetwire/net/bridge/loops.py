"""What keeps a message from going round: the list of where it has been, and a memory of echoes.

With MQTT 5 each bridge writes into the message, as User Properties, which servers it has left
(`out`) or come from (`in`); a message does not go where it has been. To older servers nothing can
be written; they send us what we have just sent them, if we subscribe to it, and that echo is
dropped once.
"""

from collections import OrderedDict, deque
from hashlib import blake2b

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties

HOPS = "fleetwire-hops"

ECHO_S = 5.0  # an echo takes one round trip
ECHOES = 4096


def id_of_address(host: str, port: int) -> str:
    """Return the id under which a server is known to us that has not told us another one."""
    return blake2b(f"{host}:{port}".encode(), digest_size=8).hexdigest()


def has_been_at(properties: Properties | None, *servers: str) -> bool:
    """Say whether a message has passed one of these servers."""
    pairs = (properties or {}).get(c.USER_PROPERTY)
    if not isinstance(pairs, list):
        return False
    return any(isinstance(pair, tuple) and pair[0] == HOPS and pair[1] in servers for pair in pairs)


def with_hop(properties: Properties | None, server: str) -> Properties:
    """Return the properties with this server as the last that the message has passed."""
    changed: Properties = dict(properties or {})
    pairs = changed.get(c.USER_PROPERTY)
    known = pairs if isinstance(pairs, list) else []
    said = [pair for pair in known if isinstance(pair, tuple)]
    changed[c.USER_PROPERTY] = [*said, (HOPS, server)]
    return changed


class Echoes:
    """What was just sent and will come back once. `now` is in seconds of a steady clock."""

    def __init__(self, for_s: float = ECHO_S, most: int = ECHOES) -> None:
        self._for_s = for_s
        self._most = most
        self._sent = 0
        # By number, oldest first: until when it may come, and what. And the numbers of each what.
        self._expected: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self._numbers: dict[bytes, deque[int]] = {}

    def expect(self, topic_name: str, payload: bytes, now: float) -> None:
        """Note that this was sent; the oldest gives way if there are too many."""
        self._forget(now)
        if len(self._expected) >= self._most:
            self._drop(next(iter(self._expected)))
        key = _key(topic_name, payload)
        self._sent += 1
        self._expected[self._sent] = (now + self._for_s, key)
        self._numbers.setdefault(key, deque()).append(self._sent)

    def is_echo(self, topic_name: str, payload: bytes, now: float) -> bool:
        """Say whether this is one of what was sent; each is recognised once."""
        self._forget(now)
        numbers = self._numbers.get(_key(topic_name, payload))
        if numbers is None:
            return False
        self._drop(numbers[0])
        return True

    def clear(self) -> None:
        """Forget everything: the connection is another one."""
        self._expected.clear()
        self._numbers.clear()

    def _forget(self, now: float) -> None:
        expected = self._expected
        while expected:
            number, (until, _) = next(iter(expected.items()))
            if until > now:
                return
            self._drop(number)

    def _drop(self, number: int) -> None:
        _, key = self._expected.pop(number)
        numbers = self._numbers[key]
        numbers.popleft()  # of one key the oldest is always the first to go
        if not numbers:
            del self._numbers[key]


def _key(topic_name: str, payload: bytes) -> bytes:
    digest = blake2b(topic_name.encode(), digest_size=16)
    digest.update(b"\0")
    digest.update(payload)
    return digest.digest()
