"""Enhanced authentication: the AUTH packets before CONNACK, and those of a re-authentication.

    CONNECT -> Exchange.step -> AUTH 0x18 -> the client's AUTH 0x18 -> step -> ... -> CONNACK

Server and client speak in turn. An AUTH that comes out of turn breaks the rules of MQTT, so there
is never more than one to keep. The whole exchange has one time-out, `connect_timeout_s`.
"""

import asyncio
import time

import structlog

from fleetwire.broker.session import Session
from fleetwire.errors import FleetwireError
from fleetwire.net.authenticator import Admission, Exchange, Offer, RefusedError
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_auth
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import Auth, Connect, Disconnect, Packet, Properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.connection import MQTTConnection

log = structlog.get_logger("fleetwire.net")


class ExchangeEndedError(FleetwireError):
    """The client went away in the middle; there is nobody left to answer."""


class AuthInbox:
    """Where the client's next AUTH is waited for."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._error: FleetwireError | None = None
        self._next: asyncio.Future[bytes] | None = None

    def hear(self, packets: list[Packet]) -> None:
        """Take what the client sent."""
        for packet in packets:
            if isinstance(packet, Disconnect):
                self.fail(ExchangeEndedError("the client disconnected"))
            elif not isinstance(packet, Auth):
                # [MQTT-3.1.2-30] Only AUTH and DISCONNECT until the exchange has ended.
                self.fail(ProtocolError("A packet other than AUTH came before CONNACK"))
            elif packet.reason_code != c.CONTINUE_AUTHENTICATION:
                # [MQTT-4.12.0-3]
                self.fail(ProtocolError("AUTH in an exchange must have the reason code 0x18"))
            elif self._next is None or self._next.done():
                self.fail(ProtocolError("AUTH came when it was not the client's turn"))
            else:
                try:
                    self._next.set_result(data_of(packet, self.method))
                except ProtocolError as error:
                    self.fail(error)

    def fail(self, error: FleetwireError) -> None:
        """End the exchange with this error, the first of them."""
        if self._error is None:
            self._error = error
            if self._next is not None and not self._next.done():
                self._next.set_exception(error)

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self._error is not None:
            raise self._error

    async def next(self) -> bytes:
        """Return the Authentication Data of the client's next AUTH.

        Raises ProtocolError, ExchangeEndedError.
        """
        self.check()
        self._next = asyncio.get_running_loop().create_future()
        return await self._next


def data_of(packet: Auth | Connect, method: str) -> bytes:
    """Return the Authentication Data, empty if there is none.

    Raises ProtocolError if the packet names another method.
    """
    properties = packet.properties or {}
    if properties.get(c.AUTHENTICATION_METHOD) != method:
        # [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        raise ProtocolError("AUTH must have the Authentication Method of CONNECT")
    data = properties.get(c.AUTHENTICATION_DATA, b"")
    assert isinstance(data, bytes)  # as the decoder reads it
    return data


def method_of(connect: Connect | None) -> str:
    """Return the Authentication Method of a CONNECT, "" if it has none."""
    method = (connect.properties or {}).get(c.AUTHENTICATION_METHOD) if connect else None
    # An empty one is a method too, if one that nobody knows.
    return (method or "(empty)") if isinstance(method, str) else ""


def auth_properties(method: str, data: bytes | None) -> Properties:
    """Return the properties of an AUTH or CONNACK of an exchange [MQTT-4.12.0-5]."""
    properties: Properties = {c.AUTHENTICATION_METHOD: method}
    if data is not None:
        properties[c.AUTHENTICATION_DATA] = data
    return properties


async def converse(
    connection: "MQTTConnection", exchange: Exchange, inbox: AuthInbox, data: bytes
) -> Admission:
    """Carry an exchange to its end. Raises RefusedError, ProtocolError, ExchangeEndedError."""
    limit_s = connection.server.limits.connect_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            while True:
                step = await exchange.step(data)
                inbox.check()
                if isinstance(step, Admission):
                    return step
                # [MQTT-4.12.0-2] What goes on has the reason code 0x18.
                connection.write(
                    encode_auth(c.CONTINUE_AUTHENTICATION, auth_properties(inbox.method, step.data))
                )
                data = await inbox.next()
    except TimeoutError:
        raise RefusedError(
            f"the authentication took longer than {limit_s:g} s", c.NOT_AUTHORIZED
        ) from None


# --- re-authentication ---


def hear_auth(connection: "MQTTConnection", session: Session, packet: Auth) -> None:
    """Take an AUTH of a connected client: a re-authentication begins, or goes on (§4.12.1)."""
    if connection.auth_inbox is not None:
        connection.auth_inbox.hear([packet])
        return
    method = method_of(connection.protocol.connect)
    try:
        if packet.reason_code != c.RE_AUTHENTICATE:  # [MQTT-4.12.1-1] [MQTT-3.15.2-1]
            raise ProtocolError("AUTH that begins an exchange must have the reason code 0x19")
        data = data_of(packet, method)
    except ProtocolError as error:
        _fail(connection, session, str(error), error.reason_code)
        return
    connection.auth_inbox = AuthInbox(method)
    connection.server.start(_reauthenticate(connection, session, connection.auth_inbox, data))


async def _reauthenticate(
    connection: "MQTTConnection", session: Session, inbox: AuthInbox, data: bytes
) -> None:
    """Find out anew who the client is; it can talk on meanwhile."""
    server = connection.server
    offer = Offer(
        session.client_id,
        None,
        None,
        connection.remote,
        connection.anonymous_allowed,
        connection.certificate,
    )
    try:
        exchange = server.authenticator.begin(inbox.method, offer)
        admission = await converse(connection, exchange, inbox, data)
        grant = admission.grant
        if grant.identity != session.grant.identity:
            raise RefusedError(f"{grant.identity} is not who began this connection")
        if not all(grant.may_subscribe(each) for each in session.subscriptions):
            raise RefusedError("a subscription is not granted any more")
    except ExchangeEndedError:
        return
    except RefusedError as error:
        _fail(connection, session, error.reason, error.reason_code)
    except ProtocolError as error:
        _fail(connection, session, str(error), error.reason_code)
    except FleetwireError as error:
        _fail(connection, session, str(error), c.UNSPECIFIED_ERROR)
    else:
        connection.auth_inbox = None
        if connection.session is session:
            connection.server.broker.regrant(session, grant)
            connection.write(encode_auth(c.SUCCESS, auth_properties(inbox.method, admission.data)))


def _fail(connection: "MQTTConnection", session: Session, reason: str, reason_code: int) -> None:
    """Close a connection whose re-authentication failed [MQTT-4.12.1-2]."""
    connection.auth_inbox = None
    if connection.closed:
        return
    left_out = connection.server.refusals.note(
        connection.remote, "re-authentication", time.monotonic()
    )
    if left_out is not None:
        log.warning(
            "re-authentication refused",
            client_id=session.client_id[:64],
            identity=session.grant.identity,
            remote=connection.remote,
            reason=reason,
            left_out=left_out,
        )
    # DISCONNECT has no 0x86, as CONNACK has (§3.14.2.1).
    is_login = reason_code == c.BAD_USER_NAME_OR_PASSWORD
    connection.close(c.NOT_AUTHORIZED if is_login else reason_code, "authentication failed")
