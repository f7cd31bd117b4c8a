"""ClientsService: the broker's clients, connected or not."""

from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.broker.session import Session
from fleetwire.errors import ConflictError, NotFoundError
from fleetwire.features.broker.names import page_of
from fleetwire.features.broker.ownership import may_see_client
from fleetwire.features.broker.records import ClientDetail, ClientRecord, SubscriptionRecord
from fleetwire.features.broker.stored import until_stored
from fleetwire.features.paging import check_limit
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.net.connection import MQTTConnection
from fleetwire.protocol import constants as c

READ = "broker.read"
WRITE = "broker.write"
BY_ADMINISTRATOR = "disconnected by an administrator"


class ClientsService:
    """Lists, shows and disconnects clients; `find_device` finds a device by its integer key."""

    def __init__(
        self,
        broker: Broker,
        find_device: Callable[[int], Device | None],
        audit: Audit,
        *,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._broker = broker
        self._find_device = find_device
        self._audit = audit
        self._clock = clock

    def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        connected: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[ClientRecord]:
        """Return clients by Client Identifier; `search` occurs in that, identity or address."""
        caller.require(READ)
        check_limit(limit)
        sessions = self._broker.sessions
        text = search.casefold() if search else ""

        def is_meant(client_id: str) -> bool:
            session = sessions[client_id]
            if not may_see_client(caller, session.grant):
                return False
            if connected is not None and connected != (session.link is not None):
                return False
            return not text or any(text in word.casefold() for word in _words(session))

        page = page_of(sessions, is_meant, limit, cursor)
        return Page([self._record(sessions[name]) for name in page.items], page.next_cursor)

    def get(self, caller: Caller, client_id: str) -> ClientDetail:
        """Return all that is known of one client. Raises NotFoundError."""
        caller.require(READ)
        session = self._find(caller, client_id)
        record = self._record(session)
        connection = _connection(session)
        return ClientDetail(
            **{name: getattr(record, name) for name in record.__struct_fields__},
            window=session.window,
            maximum_packet_size=session.maximum_packet_size,
            receiving=len(session.received),
            will_topic=None if session.will is None else session.will.topic_name,
            messages_received=session.messages_received,
            messages_sent=session.messages_sent,
            bytes_received=None if connection is None else connection.bytes_received,
            bytes_sent=None if connection is None else connection.bytes_sent,
            subscription_list=[
                SubscriptionRecord(
                    each.topic_filter,
                    each.qos,
                    each.no_local,
                    each.retain_as_published,
                    each.retain_handling,
                    identifier,
                )
                for each, identifier in session.subscriptions.values()
            ],
        )

    async def disconnect(self, caller: Caller, client_id: str, *, end_session: bool) -> None:
        """Close a client's connection, and end its session if wanted.

        MQTT 5 clients read 0x98. The Will goes out if the session stays. Raises NotFoundError, and
        ConflictError if there is no connection to close.
        """
        caller.require(WRITE)
        session = self._find(caller, client_id)
        if end_session:
            self._broker.end(session, c.ADMINISTRATIVE_ACTION, BY_ADMINISTRATOR, self._clock())
            await until_stored(self._broker.journal)
        elif session.link is not None:
            session.link.close(c.ADMINISTRATIVE_ACTION, BY_ADMINISTRATOR)
        else:
            raise ConflictError(
                f"Client {client_id[:64]!r} is not connected. `session=end` ends its session."
            )
        await self._audit.record(
            caller,
            "broker.client_disconnected",
            f"client:{client_id}",
            detail={"session": "ended" if end_session else "kept"},
        )

    def _find(self, caller: Caller, client_id: str) -> Session:
        session = self._broker.sessions.get(client_id)
        if session is None or not may_see_client(caller, session.grant):
            raise NotFoundError(f"There is no client {client_id[:64]!r}.")
        return session

    def _record(self, session: Session) -> ClientRecord:
        device = self._find_device(session.grant.device) if session.grant.device else None
        connection = _connection(session)
        client = None if connection is None else connection.client
        return ClientRecord(
            client_id=session.client_id,
            identity=session.grant.identity,
            device=None if device is None else f"{device.app}/{device.device_id}",
            connected=session.link is not None,
            protocol=None if client is None else client.protocol,
            remote=None if client is None else client.remote,
            listener=None if client is None else client.listener,
            connected_at=None if client is None else client.connected_at,
            disconnected_at=session.disconnected_at or None,
            keep_alive_s=None if connection is None else round(connection.keep_alive_s / 1.5),
            session_expiry_s=session.expiry_interval,
            subscriptions=len(session.subscriptions),
            inflight=len(session.inflight),
            queued=len(session.queue),
            queued_bytes=session.queue_bytes,
        )


def _connection(session: Session) -> MQTTConnection | None:
    link = session.link
    return link if isinstance(link, MQTTConnection) else None


def _words(session: Session) -> tuple[str, str, str]:
    connection = _connection(session)
    remote = "" if connection is None else connection.remote
    return session.client_id, session.grant.identity, remote
