"""World: a broker, its journal, senders and receivers, and what is promised between them."""

from fleetwire.broker.broker import Broker
from fleetwire.broker.limits import Limits
from tests.property.client import Client
from tests.property.messages import Book, Message, demand
from tests.property.receiver import Receiver
from tests.property.reference_journal import ReferenceJournal, Store
from tests.property.sender import Sender

WINDOW = 4
ROUNDS = 200  # far more than anything here needs to come to rest


class World:
    """One server through all its lives. Time passes by a millisecond with everything that happens.

    `journal` is the class of the journal it keeps its state with.
    """

    def __init__(self, journal: type[ReferenceJournal] = ReferenceJournal) -> None:
        self.book = Book()
        self.senders = [Sender("s4", 4, self.book), Sender("s5", 5, self.book)]
        self.receivers = [
            Receiver("r4", 4, self.book, WINDOW),
            Receiver("r5", 5, self.book, WINDOW),
        ]
        self.clients: list[Client] = [*self.senders, *self.receivers]
        self._journal_class = journal
        self._store = Store()
        self._now = 1_000_000
        self._start()

    @property
    def now(self) -> int:
        """The present, in microseconds UTC; each look at it is later than the one before."""
        self._now += 1_000
        return self._now

    def _start(self) -> None:
        self.journal = self._journal_class(self._store)
        self.broker = Broker(Limits(window=WINDOW), None, self.journal)
        self.broker.restore(self.journal.restored(self.now), [], [], self.now)

    # --- what may happen; what is not possible just now does nothing ---

    def begin(self, subscriptions: list[tuple[int, str, int]]) -> None:
        """Connect everybody, with these subscriptions: receiver, Topic Filter, QoS."""
        for index in range(len(self.senders)):
            self.connect_sender(index, True)
        for index in range(len(self.receivers)):
            self.connect_receiver(index, True, 0)
        for index, topic_filter, qos in subscriptions:
            self.subscribe(index, topic_filter, qos)
        self.store(True)
        for index in range(len(self.receivers)):
            self.receivers[index].read()

    def connect_sender(self, index: int, persistent: bool) -> None:
        """Connect, or take the connection over; what was not acknowledged is sent again."""
        sender = self.senders[index]
        self._open(sender, persistent, 0)
        for message in sender.outbox.values():
            if message is not None and message.qos == 1:
                self._promise(message)
        sender.send_again(self.now)

    def connect_receiver(self, index: int, persistent: bool, receive_maximum: int) -> None:
        """Connect, or take the connection over."""
        self._open(self.receivers[index], persistent, receive_maximum)

    def _open(self, client: Client, persistent: bool, receive_maximum: int) -> None:
        client.connect(self.broker, not persistent, self.now, receive_maximum)
        if not persistent:
            # CONNACK says that the former session is over; so that has to be stored before it.
            self.store(True)

    def disconnect(self, index: int, reads: bool) -> None:
        """Break a connection, of a sender or a receiver, perhaps with something unread."""
        client = self.clients[index]
        if client.is_connected:
            if reads:
                self.read(index)
            client.disconnect(self.now)

    def subscribe(self, index: int, topic_filter: str, qos: int) -> None:
        """Send SUBSCRIBE."""
        if self.receivers[index].is_connected:
            self.receivers[index].subscribe(topic_filter, qos, self.now)

    def unsubscribe(self, index: int, topic_filter: str) -> None:
        """Send UNSUBSCRIBE."""
        if self.receivers[index].is_connected:
            self.receivers[index].unsubscribe(topic_filter)

    def publish(self, index: int, topic: str, qos_of_each: list[int]) -> None:
        """Publish a run of new messages."""
        sender = self.senders[index]
        if not sender.is_connected:
            return
        messages = [self.book.new(sender.client_id, topic, qos) for qos in qos_of_each]
        for message in messages:
            self._promise(message)
        sender.publish(messages, self.now)  # those without a packet id are never acknowledged

    def read(self, index: int) -> None:
        """Let a sender or a receiver take what the server has written."""
        if not self.clients[index].is_connected:
            return
        if index < len(self.senders):
            self.senders[index].read(self.now)
        else:
            self.receivers[index - len(self.senders)].read()

    def reply(self, index: int, which: int, times: int) -> None:
        """Let a receiver send one of the acknowledgements it owes."""
        receiver = self.receivers[index]
        if receiver.is_connected and which < len(receiver.replies):
            receiver.reply(which, times, self.now)

    def congest(self, index: int, congested: bool) -> None:
        """Let a receiver's connection be full, or have room again."""
        receiver = self.receivers[index]
        if receiver.is_connected:
            receiver.link.congested = congested
            if not congested:
                self.broker.uncongested(receiver.session, self.now)

    def store(self, releases: bool) -> None:
        """Let the journal store what it was told; perhaps nobody hears of it yet."""
        self.journal.commit()
        if releases:
            self.journal.release()

    def cut_power(self) -> None:
        """End the server at once and start it again on what was stored."""
        self.book.power_cuts += 1
        for client in self.clients:
            client.power_failed()
        self._start()

    # --- what must be true ---

    def _promise(self, message: Message) -> None:
        if message.qos:
            message.promised_to = {r.client_id for r in self.receivers if r.wants(message.topic)}

    def settle(self) -> None:
        """Let everybody come back and finish; then nothing that was promised may be missing."""
        for index, sender in enumerate(self.senders):
            if not sender.is_connected and sender.is_persistent:
                self.connect_sender(index, True)
        for index, receiver in enumerate(self.receivers):
            if not receiver.is_connected and receiver.is_persistent:
                self.connect_receiver(index, True, 0)
            self.congest(index, False)
        for _ in range(ROUNDS):
            if self._one_round():
                break
        self._check_end()

    def _one_round(self) -> bool:
        """Do everything that is due; return whether nothing is left."""
        self.journal.commit()
        self.journal.release()
        for index in range(len(self.clients)):
            self.read(index)
        for receiver in self.receivers:
            while receiver.is_connected and receiver.replies:
                receiver.reply(0, 1, self.now)
        written = any(client.link.output for client in self.clients if client.is_connected)
        return self.journal.is_idle and not written

    def _check_end(self) -> None:
        for sender in self.senders:
            left = sender.outbox if sender.is_connected else {}
            demand(not left, f"{sender.client_id}: never acknowledged: {left}")
        for receiver in self.receivers:
            if receiver.is_connected:
                left_over = [*receiver.session.inflight.values(), *receiver.session.queue]
                demand(not left_over, f"{receiver.client_id}: {len(left_over)} are never sent")
            for message in self.book.messages:
                if message.is_acknowledged and receiver.client_id in message.promised_to:
                    demand(
                        receiver.has(message),
                        f"{receiver.client_id}: {message!r} was acknowledged, and is lost",
                    )
