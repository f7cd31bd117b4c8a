"""PacketIds: which packet identifiers of one session are in use (MQTT 5.0 §2.2.1)."""

from fleetwire.protocol.errors import PacketIdsExhaustedError

LARGEST_PACKET_ID = 65_535


class PacketIds:
    """Gives out identifiers in turn, so that one just released is the last to come again.

    A late acknowledgement then finds nobody instead of somebody else. Each one in use is stepped
    over once in a round of 65,535, so the cost of one allocation stays flat.
    """

    __slots__ = ("_last", "_used")

    def __init__(self) -> None:
        self._last = 0
        self._used: set[int] = set()

    def __len__(self) -> int:
        return len(self._used)

    def __contains__(self, packet_id: int) -> bool:
        return packet_id in self._used

    def allocate(self) -> int:
        """Return an identifier in 1..65535 that is not in use, and use it.

        Raises PacketIdsExhaustedError if there is none.
        """
        used = self._used
        packet_id = self._last + 1
        if packet_id > LARGEST_PACKET_ID:
            packet_id = 1
        if packet_id in used:
            if len(used) >= LARGEST_PACKET_ID:
                raise PacketIdsExhaustedError("All 65535 packet identifiers are in use")
            while packet_id in used:
                packet_id = packet_id + 1 if packet_id < LARGEST_PACKET_ID else 1
        used.add(packet_id)
        self._last = packet_id
        return packet_id

    def claim(self, packet_id: int) -> bool:
        """Use this identifier, which was given out before a restart; False = it is in use.

        Those that come next come after it.
        """
        if packet_id in self._used:
            return False
        self._used.add(packet_id)
        self._last = packet_id
        return True

    def release(self, packet_id: int) -> None:
        """Let an identifier be used again; one that is not in use is no error."""
        self._used.discard(packet_id)
