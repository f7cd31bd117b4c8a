"""Board: the commands that something can still become of, in memory.

It decides what may be published and when to look at a command again; the rows follow through the
journal. Payloads stay in the database until they are needed.
"""

import heapq
from collections import Counter

from fleetwire.features.commands.states import QUEUED, SENT

# Published and not yet confirmed, for one device. Few, so that one device's thousand commands do
# not overflow its queue in the broker; several, so that a slow network is not paid for each one.
WINDOW = 16

STORING = "storing"  # on the board, for its place and the bound; not yet committed


class Command:
    """One open command. `expires_at` and `not_before` are in microseconds UTC."""

    __slots__ = (
        "answers",
        "app",
        "attempts",
        "device",
        "expires_at",
        "id",
        "is_held",
        "is_unconfirmed",
        "lane",
        "may_repeat",
        "name",
        "not_before",
        "response_topic",
        "state",
        "topics",
    )

    def __init__(
        self,
        id: str,
        app: str,
        device: int,
        name: str,
        topics: tuple[str, ...],
        expires_at: int,
        state: str,
        attempts: int = 0,
        answers: bool = False,
        lane: str | None = None,
        may_repeat: bool = True,
    ) -> None:
        self.id = id
        self.app = app
        self.device = device
        self.name = name
        self.topics = topics  # the same bytes go to each
        self.expires_at = expires_at
        self.state = state
        self.attempts = attempts
        self.answers = answers  # its device says what came of it, so delivery is not the end
        self.lane = lane  # of its commands one is under way at a time
        self.may_repeat = may_repeat  # also where it is unknown whether the device has it
        self.response_topic = ""  # where the device is asked to answer; "" = nowhere
        self.is_held = False  # being cancelled: not to be published meanwhile
        self.is_unconfirmed = False  # no PUBACK will ever come
        self.not_before = 0  # after a loss, unless the device begins to listen


class Board:
    """Open commands by id, by device in order of creation, and by when to look at them."""

    def __init__(self) -> None:
        self._by_id: dict[str, Command] = {}
        self._by_device: dict[int, dict[str, Command]] = {}
        self._due: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def count_by_state(self) -> dict[str, int]:
        """Return how many open commands are in each state."""
        return Counter(command.state for command in self._by_id.values())

    def __contains__(self, command: Command) -> bool:
        return command.id in self._by_id

    def get(self, command_id: str) -> Command | None:
        """Return an open command."""
        return self._by_id.get(command_id)

    def commands(self) -> list[Command]:
        """Return all open commands in the order in which they came here."""
        return list(self._by_id.values())

    def of_device(self, device: int) -> list[Command]:
        """Return a device's open commands in order of creation."""
        return list(self._by_device.get(device, {}).values())

    def count(self, device: int) -> int:
        """Return how many open commands a device has."""
        return len(self._by_device.get(device, {}))

    def add(self, command: Command) -> None:
        """Add a command behind the others of its device."""
        self._by_id[command.id] = command
        self._by_device.setdefault(command.device, {})[command.id] = command
        self.look_at(command, command.expires_at)

    def remove(self, command_id: str) -> None:
        """Take a command off the board; nothing more will become of it."""
        command = self._by_id.pop(command_id, None)
        if command is not None:
            own = self._by_device[command.device]
            del own[command_id]
            if not own:
                del self._by_device[command.device]

    def publishable(self, device: int, now: int) -> list[Command]:
        """Return what may be published to a device now, in order of creation."""
        own = self._by_device.get(device, {}).values()
        room = WINDOW - sum(
            1 for command in own if command.state == SENT and not command.is_unconfirmed
        )
        chosen: list[Command] = []
        busy = {command.lane for command in own if command.state not in (QUEUED, STORING)}
        for command in own:
            if len(chosen) >= room:
                break
            if command.lane is not None:
                if command.lane in busy:
                    continue
                busy.add(command.lane)
            if command.state != QUEUED or command.is_held or command.expires_at <= now:
                continue
            if command.not_before > now:
                break  # those behind it wait with it, or they would overtake
            chosen.append(command)
        return chosen

    # --- time ---

    def look_at(self, command: Command, at: int) -> None:
        """Have `take_due` return this command at that instant, if it is still open."""
        heapq.heappush(self._due, (at, command.id))
        if len(self._due) > 1000 + 4 * len(self._by_id):
            # Mostly commands that were closed long before their deadline.
            self._due = [due for due in self._due if due[1] in self._by_id]
            heapq.heapify(self._due)

    @property
    def next_due_at(self) -> int | None:
        """When `take_due` will have something, None = nothing is waited for."""
        return self._due[0][0] if self._due else None

    def take_due(self, now: int) -> list[Command]:
        """Return the open commands to be looked at by now."""
        due: list[Command] = []
        while self._due and self._due[0][0] <= now:
            command = self._by_id.get(heapq.heappop(self._due)[1])
            if command is not None:
                due.append(command)
        return due
