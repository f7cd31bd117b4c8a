"""Client: what senders and receivers of the model have in common: a connection, now and then."""

from fleetwire.broker.broker import Broker
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Connect, Properties
from tests.broker.conftest import FakeLink
from tests.property.messages import Book, demand

EXPIRY_S = 3600
NOBODY = Grant("anonymous", ["#"], ["#"], anonymous=True)


class Client:
    """One Client Identifier. `survives`: it knows that the broker has its session for good."""

    def __init__(self, client_id: str, version: int, book: Book) -> None:
        self.client_id = client_id
        self.version = version
        self.is_persistent = False
        self.survives = False
        self._book = book
        self._broker: Broker | None = None
        self._link: FakeLink | None = None
        self._session: Session | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that the broker has not closed."""
        return self._link is not None and not self._link.closed

    @property
    def broker(self) -> Broker:
        """The server it is connected to."""
        assert self._broker is not None
        return self._broker

    @property
    def link(self) -> FakeLink:
        """Its connection."""
        assert self._link is not None
        return self._link

    @property
    def session(self) -> Session:
        """Its session at the server."""
        assert self._session is not None
        return self._session

    def connect(self, broker: Broker, clean: bool, now: int, receive_maximum: int = 0) -> None:
        """Open a connection, if need be over the one there is, and go on where it was left."""
        properties: Properties | None = None
        if self.version != c.V5:
            receive_maximum = 0  # which only MQTT 5 can say
        else:
            properties = {} if clean else {c.SESSION_EXPIRY_INTERVAL: EXPIRY_S}
            if receive_maximum:
                properties[c.RECEIVE_MAXIMUM] = receive_maximum
        connect = Connect(self.version, self.client_id, clean, properties=properties or None)
        former_link, former_session = self._link, self._session
        link = FakeLink(self.version)
        opened = broker.open(link, connect, self.client_id, NOBODY, now)
        assert opened.session is not None
        if former_link is not None and former_session is not None and broker is self._broker:
            self._hang_up(former_link, former_session, now)
        demand(
            opened.session_present or clean or not self.survives,
            f"{self.client_id}: its session is gone",
        )
        self._broker, self._link, self._session = broker, link, opened.session
        if not opened.session_present:
            self.survives = False
            self.session_lost()
        self.is_persistent = not clean
        self.connected(opened.session_present, receive_maximum)
        broker.resume(opened.session, now)

    def disconnect(self, now: int) -> None:
        """Break the connection; what it did not read is lost."""
        if self._link is not None and self._session is not None:
            self._hang_up(self._link, self._session, now)
        self._link = None
        if not self.is_persistent:
            self.survives = False
            self.session_lost()

    def power_failed(self) -> None:
        """The server is gone, without a word."""
        self._link = None
        self._broker = None
        self._session = None
        if not self.is_persistent:
            self.survives = False
            self.session_lost()

    def session_lost(self) -> None:
        """Forget what belonged to a session that is over."""

    def connected(self, session_present: bool, receive_maximum: int) -> None:
        """CONNACK came."""

    def answer(self, kind: int, packet_id: int, now: int) -> None:
        """Send an acknowledgement."""
        self.broker.acknowledge(self.session, [Ack(kind, packet_id)], now)

    def _hang_up(self, link: FakeLink, session: Session, now: int) -> None:
        link.closed = True
        self.broker.close(session, link, with_will=True, now=now)
