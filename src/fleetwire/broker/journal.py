"""Journal: what the broker must still know after a loss of power.

The broker tells the journal each change as it happens, in order. The journal keeps what was told,
stores much of it at once, and then carries out what was waiting for that: an acknowledgement is
held until the change it stands for is stored.

What is journaled: persistent sessions (Session Expiry Interval above 0) with their subscriptions,
their queues and what is in flight in both directions; retained messages; Wills. What is not:
anything of a session that ends with its connection, and QoS 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from fleetwire.broker.delivery import Ticket
from fleetwire.protocol.packets import Publish, Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.broker.session import Outgoing, Session


class Journal(ABC):
    """All calls happen on the event loop and return at once; none raises."""

    # --- sessions ---

    @abstractmethod
    def keep_session(self, session: "Session") -> None:
        """A persistent session is new, or its expiry, identity or connection has changed.

        `session.disconnected_at` 0 = it is connected.
        """

    @abstractmethod
    def drop_session(self, session: "Session") -> None:
        """A session has ended, with all that was kept of it but its Will."""

    @abstractmethod
    def keep_subscription(
        self, session: "Session", subscription: Subscription, identifier: int
    ) -> None:
        """A persistent session subscribed, or changed the options of a subscription."""

    @abstractmethod
    def drop_subscription(self, session: "Session", topic_filter: str) -> None:
        """A persistent session unsubscribed."""

    # --- messages on their way to a persistent session, QoS 1 and 2 ---

    @abstractmethod
    def keep_outgoing(self, session: "Session", outgoing: "Outgoing") -> None:
        """A message entered the queue or the window, or its packet id or state has changed.

        Its order among the session's messages is the order of the first call. The Outgoings of one
        message to many sessions share their `publish`.
        """

    @abstractmethod
    def drop_outgoing(self, session: "Session", outgoing: "Outgoing") -> None:
        """A message was delivered, has expired, or was given up."""

    # --- QoS 2 from a persistent session ---

    @abstractmethod
    def keep_received(self, session: "Session", packet_id: int) -> None:
        """A PUBLISH with QoS 2 came: until PUBREL the same packet id is the same message."""

    @abstractmethod
    def drop_received(self, session: "Session", packet_id: int) -> None:
        """Its PUBREL came."""

    # --- retained messages and Wills ---

    @abstractmethod
    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        """The retained message of its Topic Name is now this one; an empty payload removes it.

        `expires_at` is in microseconds UTC, 0 = never.
        """

    @abstractmethod
    def keep_will(self, session: "Session", will: Publish, delay_s: int, due_at: int) -> None:
        """A session, persistent or not, has this Will. `due_at` 0: it is connected; else it is due.

        Kept by Client Identifier, together with who the client is (the session's grant).
        """

    @abstractmethod
    def drop_will(self, session: "Session") -> None:
        """The Will of this session's Client Identifier was published or discarded."""

    # --- waiting for it ---

    @abstractmethod
    def hold(self, ticket: Ticket) -> None:
        """Release this ticket with reason code 0 once everything told so far is stored."""

    @abstractmethod
    def when_stored(self, action: Callable[[], None]) -> None:
        """Call this once everything told so far is stored, in the order of these calls."""


class NoJournal(Journal):
    """Keeps nothing: what the broker knows ends with the process, and nothing waits."""

    def keep_session(self, session: "Session") -> None:
        pass

    def drop_session(self, session: "Session") -> None:
        pass

    def keep_subscription(
        self, session: "Session", subscription: Subscription, identifier: int
    ) -> None:
        pass

    def drop_subscription(self, session: "Session", topic_filter: str) -> None:
        pass

    def keep_outgoing(self, session: "Session", outgoing: "Outgoing") -> None:
        pass

    def drop_outgoing(self, session: "Session", outgoing: "Outgoing") -> None:
        pass

    def keep_received(self, session: "Session", packet_id: int) -> None:
        pass

    def drop_received(self, session: "Session", packet_id: int) -> None:
        pass

    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        pass

    def keep_will(self, session: "Session", will: Publish, delay_s: int, due_at: int) -> None:
        pass

    def drop_will(self, session: "Session") -> None:
        pass

    def hold(self, ticket: Ticket) -> None:
        ticket.release(0)

    def when_stored(self, action: Callable[[], None]) -> None:
        action()
