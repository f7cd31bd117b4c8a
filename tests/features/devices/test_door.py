"""The door of the house on real sockets: devices, services and people, and how they are put out."""

import asyncio
import dataclasses
import ssl
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.features.accounts.api_keys import ApiKeys, NewApiKey
from fleetwire.features.accounts.passwords import Passwords
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.door import Door
from fleetwire.features.devices.people import PersonGrants
from fleetwire.features.devices.service import DeviceService
from fleetwire.kit import Caller
from fleetwire.net.client import (
    ConnectionLostError,
    ConnectionRefusedByServerError,
    MQTTClient,
)
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.net.tls import ServerCertificate
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connect
from fleetwire.protocol.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from tests.fakes import caller
from tests.features.rooms import Rooms
from tests.net.certificates import Authority
from tests.net.test_server import Peer
from tests.scram_client import ScramClient

SECRET = "the secret of the tests, which is long enough"
PASSWORD = "correct horse battery staple"
HERE = "192.0.2.7"
SOON_S = 1.0  # within which a revocation closes connections


class World:
    """Everything from the socket to the database. Organisation 3 is the first account's."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        devices = DeviceAuthenticator(
            rooms.registry, rooms.apps, rooms.db, rooms.clock, secret=b"s"
        )
        self.server = Server(Broker(Limits()), devices, ConnectionLimits())
        audit = SqlAudit(rooms.db)
        quick = Passwords(memory_kib=64, time_cost=1)
        self.accounts = Accounts(
            rooms.db, SECRET, audit, downlink=self.server, clock=rooms.clock, passwords=quick
        )
        self.keys = ApiKeys(rooms.db, audit, self.server, rooms.clock)
        self.devices = DeviceService(
            rooms.db, rooms.registry, rooms.audit, self.server, rooms.apps.keys()
        )
        self.door = Door(
            devices, self.keys, PersonGrants(self.accounts, rooms.registry, rooms.apps)
        )
        self.server.authenticator = self.door
        self.port = 0
        self.owner = caller()
        self.peers: list[Peer] = []

    async def open(self) -> None:
        first = await self.accounts.bootstrap()
        assert first is not None
        self.owner = (await self.sign_in(*first))[0]
        self.port = await self.server.listen_tcp("127.0.0.1", 0, anonymous_allowed=False)

    async def close(self) -> None:
        for peer in self.peers:
            peer.writer.close()
        await self.server.close(1.0)

    async def sign_in(self, username: str, password: str) -> tuple[Caller, bytes]:
        tokens = await self.accounts.login(username, password, HERE)
        token = tokens.access_token
        return await self.accounts.authenticate_token(token, HERE), token.encode()

    async def person(self, username: str, role: str) -> tuple[int, bytes]:
        """Make an account; return its key and an access token."""
        account = await self.accounts.create_account(
            self.owner,
            email=f"{username}@example.org",
            username=username,
            role=role,
            password=PASSWORD,
        )
        return account.id, (await self.sign_in(username, PASSWORD))[1]

    async def key(self, name: str = "exporter") -> NewApiKey:
        rights = ["o/{organization}/#"]
        return await self.keys.create(self.owner, name=name, publish=rights, subscribe=rights)

    async def device(self, device_id: str = "d") -> bytes:
        """Register a device of the owner's; return its token."""
        _, credential = await self.devices.register(self.owner, "demo", device_id, "meter")
        return credential.password.encode()

    async def peer(self, version: int = 5) -> Peer:
        peer = await Peer(self.port, version).open()
        self.peers.append(peer)
        return peer

    async def connected(
        self, username: str, password: bytes, *, client_id: str = "c", version: int = 5
    ) -> Peer:
        peer = await self.peer(version)
        answer = await peer.connect(client_id, username=username, password=password)
        assert answer.reason_code == 0, answer.properties
        return peer


@pytest.fixture
async def world(rooms: Rooms) -> AsyncIterator[World]:
    world = World(rooms)
    await world.open()
    yield world
    await world.close()


async def granted(peer: Peer, *topic_filters: str, qos: int = 0) -> list[int]:
    """Subscribe; return the reason codes."""
    peer.send(Subscribe(1, [Subscription(each, qos) for each in topic_filters]))
    suback = await peer.read()
    assert isinstance(suback, Suback)
    return suback.reason_codes


async def publish(peer: Peer, topic_name: str) -> int:
    """Publish; return the reason code of the acknowledgement."""
    peer.send(Publish(topic_name, b"x", 1, packet_id=9))
    while True:
        packet = await peer.read()
        assert packet is not None
        code = getattr(packet, "reason_code", None)
        if packet.type == c.PUBACK and isinstance(code, int):
            return code


async def put_out(peer: Peer) -> tuple[Packet | None, float]:
    """Wait for the end; return (the last packet, seconds it took)."""
    began = time.monotonic()
    return await peer.ended(), time.monotonic() - began


# --- who comes in ---


async def test_a_device_signs_in_by_scram_and_again_on_the_same_connection(world: World) -> None:
    token = (await world.device()).decode()
    peer = await world.peer()
    client = ScramClient("d", token)
    method: Properties = {c.AUTHENTICATION_METHOD: "SCRAM-SHA-256"}
    first = method | {c.AUTHENTICATION_DATA: client.first}
    peer.writer.write(encode_connect(Connect(5, "c", True, 60, properties=first)))
    challenge = await peer.read()
    assert isinstance(challenge, Auth)
    peer.send(Auth(0x18, method | {c.AUTHENTICATION_DATA: client.final(_data(challenge))}))
    connack = await peer.read()
    assert isinstance(connack, Connack)
    assert connack.reason_code == 0
    assert _data(connack) == client.server_signature
    assert await granted(peer, "devices/d/commands", "#") == [0, c.NOT_AUTHORIZED]

    again = ScramClient("d", token, "another-nonce")
    peer.send(Auth(0x19, method | {c.AUTHENTICATION_DATA: again.first}))
    challenge = await peer.read()
    assert isinstance(challenge, Auth)
    peer.send(Auth(0x18, method | {c.AUTHENTICATION_DATA: again.final(_data(challenge))}))
    success = await peer.read()
    assert isinstance(success, Auth)
    assert (success.reason_code, _data(success)) == (0, again.server_signature)


async def test_a_wrong_proof_is_answered_as_a_wrong_password_is(world: World) -> None:
    await world.device()
    for username in ("d", "nobody"):
        peer = await world.peer()
        client = ScramClient(username, "wrong")
        method: Properties = {c.AUTHENTICATION_METHOD: "SCRAM-SHA-256"}
        first = method | {c.AUTHENTICATION_DATA: client.first}
        peer.writer.write(encode_connect(Connect(5, "c", True, 60, properties=first)))
        challenge = await peer.read()
        assert isinstance(challenge, Auth)
        peer.send(Auth(0x18, method | {c.AUTHENTICATION_DATA: client.final(_data(challenge))}))
        connack = await peer.read()
        assert isinstance(connack, Connack)
        assert connack.reason_code == c.BAD_USER_NAME_OR_PASSWORD
        assert (connack.properties or {})[c.REASON_STRING] == "wrong user name or password"


async def test_a_device_signs_in_with_its_certificate_and_is_put_out_with_it(
    world: World, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "fleet")
    files = dataclasses.replace(authority.server(), client_ca=authority.path)
    port = await world.server.listen_tcp(
        "127.0.0.1", 0, anonymous_allowed=False, certificate=ServerCertificate(files)
    )
    await world.device("d")
    path, key = authority.client("pump 7")
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    tls = ssl.create_default_context(cafile=str(authority.path))
    tls.load_cert_chain(path, key)
    with pytest.raises(ConnectionRefusedByServerError, match="no device's"):
        await MQTTClient("c").connect("127.0.0.1", port, tls=tls)
    bound = await world.devices.bind_certificate(world.owner, "demo", "d", sha256(der).hexdigest())
    client = MQTTClient("c")
    await client.connect("127.0.0.1", port, tls=tls)
    assert world.server.broker.sessions["c"].grant.identity == "device:demo/d"
    assert await client.subscribe(Subscription("devices/d/commands", 1)) == [1]
    await world.devices.revoke_credential(world.owner, "demo", "d", bound.id)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(ConnectionLostError):
            await anext(client.messages())
    with pytest.raises(ConnectionRefusedByServerError, match="revoked"):
        await MQTTClient("c").connect("127.0.0.1", port, tls=tls)


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_a_service_signs_in_with_its_key(world: World, version: int) -> None:
    made = await world.key()
    peer = await world.connected("exporter", made.token.encode(), version=version)
    session = world.server.broker.sessions["c"]
    assert session.grant.identity == f"key:{made.key.id}/exporter"
    codes = await granted(peer, "o/3/x", "o/#", "o/4/#")
    denied = c.NOT_AUTHORIZED if version == 5 else 0x80
    if version == 3:
        assert codes[0] == 0  # 3.1 has no word for a refusal
    else:
        assert codes == [0, denied, denied]
    assert list(session.subscriptions) == ["o/3/x"]


async def test_people_see_their_organisations_devices_and_operators_talk_to_them(
    world: World,
) -> None:
    await world.device("d")
    await world.rooms.register("foreign")  # organisation 1's
    _, viewer = await world.person("vera", "viewer")
    _, operator = await world.person("otto", "operator")
    sees = await world.connected("vera", viewer, client_id="v")
    asked = ["devices/d/data", "devices/d/x/state", "devices/d/commands"]
    assert await granted(sees, *asked) == [0, 0, 0]
    wider = ["devices/+/data", "devices/foreign/data", "#", "+/d/data", "$SYS/#"]
    assert await granted(sees, *wider) == [c.NOT_AUTHORIZED] * 5
    assert await publish(sees, "devices/d/commands") == c.NOT_AUTHORIZED
    talks = await world.connected("otto", operator, client_id="o")
    assert await publish(talks, "devices/d/commands") < 0x80
    assert await publish(talks, "devices/d/data") == c.NOT_AUTHORIZED  # that is the device's
    assert await publish(talks, "devices/foreign/commands") == c.NOT_AUTHORIZED


async def test_where_all_devices_are_of_one_organisation_people_may_use_wildcards(
    world: World,
) -> None:
    await world.device("d")
    _, viewer = await world.person("vera", "viewer")
    peer = await world.connected("vera", viewer)
    assert await granted(peer, "devices/+/data", "devices/#") == [0, c.NOT_AUTHORIZED]


async def test_an_access_token_ends_with_its_time_and_a_bad_one_is_refused(world: World) -> None:
    _, token = await world.person("vera", "viewer")
    await world.connected("vera", token)
    expires_at = world.server.broker.sessions["c"].grant.expires_at
    # A JWT counts whole seconds.
    assert world.rooms.clock() + 3_599_000_000 <= expires_at <= world.rooms.clock() + 3_600_000_000
    world.rooms.clock.advance(3601)
    for wrong, words in ((token, "expired"), (token[:-4] + b"AAAA", "not genuine")):
        peer = await world.peer()
        answer = await peer.connect("x", username="vera", password=wrong)
        assert answer.reason_code == c.BAD_USER_NAME_OR_PASSWORD
        assert words in str((answer.properties or {})[c.REASON_STRING])


# --- how they are put out ---


async def test_a_revoked_key_closes_its_connections_within_a_second(world: World) -> None:
    made, other = await world.key(), await world.key("other")
    peer = await world.connected("x", made.token.encode(), client_id="a")
    stays = await world.connected("x", other.token.encode(), client_id="b")
    await world.keys.revoke(world.owner, made.key.id)
    last, took_s = await put_out(peer)
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.NOT_AUTHORIZED
    assert took_s < SOON_S
    assert await granted(stays, "o/3/x") == [0]
    answer = await (await world.peer()).connect("a", username="x", password=made.token.encode())
    assert answer.reason_code == c.NOT_AUTHORIZED


@pytest.mark.parametrize("change", ["closed", "another role"])
async def test_an_account_that_changes_loses_its_connections_within_a_second(
    world: World, change: str
) -> None:
    account_id, token = await world.person("vera", "viewer")
    peer = await world.connected("vera", token)
    if change == "closed":
        await world.accounts.deactivate(world.owner, account_id)
    else:
        await world.accounts.update(world.owner, account_id, role="operator")
    last, took_s = await put_out(peer)
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.NOT_AUTHORIZED
    assert took_s < SOON_S
    answer = await (await world.peer()).connect("c", username="vera", password=token)
    assert (answer.reason_code == 0) == (change == "another role")


async def test_another_name_of_an_account_puts_nobody_out(world: World) -> None:
    account_id, token = await world.person("vera", "viewer")
    await world.device("d")
    peer = await world.connected("vera", token)
    await world.accounts.update(world.owner, account_id, full_name="Vera")
    assert len(await granted(peer, "devices/d/data")) == 1


async def test_another_password_of_an_account_puts_its_connections_out(world: World) -> None:
    account_id, token = await world.person("vera", "viewer")
    peer = await world.connected("vera", token)
    await world.accounts.update(world.owner, account_id, password=PASSWORD + "2")
    last, took_s = await put_out(peer)
    assert isinstance(last, Disconnect)
    assert took_s < SOON_S


async def test_revoked_credentials_and_removed_devices_are_put_out_within_a_second(
    world: World,
) -> None:
    for way in ("revoke", "delete"):
        token = await world.device(way)
        peer = await world.connected(way, token, client_id=way)
        if way == "revoke":
            (record,) = await world.devices.credentials(world.owner, "demo", way)
            await world.devices.revoke_credential(world.owner, "demo", way, record.id)
        else:
            await world.devices.delete(world.owner, "demo", way)
        last, took_s = await put_out(peer)
        assert isinstance(last, Disconnect)
        assert took_s < SOON_S


# --- sessions ---


async def test_a_session_belongs_to_the_identity_that_made_it(world: World) -> None:
    mine, theirs = await world.device("d"), await world.device("e")
    kept: Properties = {c.SESSION_EXPIRY_INTERVAL: 600}
    peer = await world.peer()
    await peer.connect("c", username="d", password=mine, properties=kept)
    assert await granted(peer, "devices/d/commands", qos=1) == [1]

    thief = await world.peer()
    while_connected = await thief.connect("c", username="e", password=theirs, clean=False)
    assert while_connected.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID
    assert await granted(peer, "devices/d/x/state") == [c.NOT_AUTHORIZED]  # and is still there

    peer.send(Disconnect())
    assert await peer.read() is None
    world.server.publish("devices/d/commands", b"secret", qos=1)
    thief = await world.peer()
    for clean in (False, True):
        thief = await world.peer()
        later = await thief.connect("c", username="e", password=theirs, clean=clean)
        assert later.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID
    back = await world.peer()
    again = await back.connect("c", username="d", password=mine, clean=False, properties=kept)
    assert again.session_present
    message = await back.read()  # what waited is still his
    assert isinstance(message, Publish)
    assert message.payload == b"secret"


async def test_last_uses_are_stored_together(world: World) -> None:
    made = await world.key()
    token = await world.device("d")
    await world.connected("x", made.token.encode(), client_id="a")
    await world.connected("d", token, client_id="b")
    await world.door.flush()
    (key,) = (await world.keys.list(world.owner)).items
    (credential,) = await world.devices.credentials(world.owner, "demo", "d")
    assert key.last_used_at == credential.last_used_at == world.rooms.clock()


def _data(packet: Auth | Connack) -> bytes:
    data = (packet.properties or {})[c.AUTHENTICATION_DATA]
    assert isinstance(data, bytes)
    return data
