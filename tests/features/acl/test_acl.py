"""The tester says what a client would be told at the door and why, by the door's own code."""

from typing import Any

import msgspec
import pytest

from fleetwire.errors import ForbiddenError, InvalidValueError, NotFoundError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.permissions import PERMISSIONS
from fleetwire.features.accounts.personal_keys import PersonalKeys
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.acl.endpoints import router
from fleetwire.features.acl.rights import Rights
from fleetwire.features.acl.service import AclTester, RightsOfNow, Ruling
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.door import Door
from fleetwire.features.devices.people import PersonGrants
from fleetwire.kit import Caller
from fleetwire.net.authenticator import Offer, RefusedError
from tests.fakes import FakeDownlink, caller
from tests.features.http import serving
from tests.features.rooms import Rooms

SECRET = "the secret of the tests, which is long enough"
KEY_RIGHTS = frozenset({"key.read", "key.write"})


class Stand:
    """The door, and the tester beside it. `people` are those who have an account."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        audit = SqlAudit(rooms.db)
        devices = DeviceAuthenticator(rooms.registry, rooms.apps, rooms.db, rooms.clock)
        self.keys = ApiKeys(
            rooms.db, audit, FakeDownlink(), rooms.clock, find_person=self.find_person
        )
        accounts = Accounts(rooms.db, SECRET, audit)
        people = PersonGrants(accounts, rooms.registry, rooms.apps)
        self.door = Door(devices, self.keys, people)
        self.people: dict[int, Caller] = {}
        self.anonymous_on = {"tcp"}
        self.rights = Rights(
            devices,
            rooms.registry,
            rooms.apps,
            people,
            self.find_person,
            self.keys,
            lambda listener: listener in self.anonymous_on,
        )
        self.tester = AclTester(self.rights)
        self.judge = RightsOfNow(self.rights)

    def find_person(self, id: int, organization_id: int | None) -> Caller | None:
        found = self.people.get(id)
        return found if found and organization_id in (None, found.organization_id) else None

    def ask(self, identity: str, action: str, topic: str, **more: Any) -> Ruling:
        return self.tester.test(caller(), identity, action, topic, **more)

    def add_person(self, id: int, role: str, organization_id: int = 1) -> None:
        self.people[id] = Caller(
            f"account:{id}", organization_id, PERMISSIONS[role], id, username=f"u{id}", role=role
        )


@pytest.fixture
def stand(rooms: Rooms) -> Stand:
    return Stand(rooms)


async def test_a_device_may_what_its_app_gives_and_the_right_is_named(stand: Stand) -> None:
    await stand.rooms.register("d")
    ruling = stand.ask("device:demo/d", "publish", "devices/d/lamp/state")
    assert (ruling.allowed, ruling.may_connect) == (True, True)
    assert ruling.right == "devices/d/+/state"
    assert ruling.template == "devices/{device_id}/{part}/state"
    assert (ruling.given_by, ruling.role) == ("the app 'demo'", "device")
    assert ruling.credential == "credential 1"
    other = stand.ask("device:demo/d", "publish", "devices/e/data")
    assert not other.allowed
    assert other.needed is not None
    assert "the app 'demo'" in other.needed
    assert other.rights == ["devices/d/data", "devices/d/+/state"]
    assert stand.ask("device:demo/d", "subscribe", "$share/g/devices/d/commands").allowed
    assert not stand.ask("device:demo/d", "subscribe", "devices/+/commands").allowed


async def test_the_tester_and_the_door_say_the_same(stand: Stand) -> None:
    registered = await stand.rooms.devices.register(caller(), "demo", "d", "thing")
    password = registered[1].password.encode()
    grant = await stand.door.authenticate(Offer("d", "d", password, "", False))
    for topic in ("devices/d/data", "devices/e/data", "devices/d/x/state", "a", "devices/d/data/x"):
        assert stand.ask("device:demo/d", "publish", topic).allowed == grant.may_publish(topic)
        asked = f"{topic}/#"
        said = stand.ask("device:demo/d", "subscribe", asked).allowed
        assert said == grant.may_subscribe(asked)


async def test_a_device_without_a_usable_credential_may_not_connect(stand: Stand) -> None:
    _, credential = await stand.rooms.devices.register(caller(), "demo", "d", "thing")
    at = stand.rooms.clock.at + 60_000_000
    await stand.rooms.devices.issue_credential(caller(), "demo", "d", expires_at=at)
    await stand.rooms.devices.revoke_credential(caller(), "demo", "d", credential.id)
    assert stand.ask("device:demo/d", "publish", "devices/d/data").credential == "credential 2"
    stand.rooms.clock.advance(61)
    ruling = stand.ask("device:demo/d", "publish", "devices/d/data")
    assert (ruling.allowed, ruling.may_connect) == (False, False)
    assert "credential expired (2); credential revoked (1)" in ruling.reason
    assert ruling.right == "devices/d/data"


async def test_a_test_is_no_use_of_a_credential(stand: Stand) -> None:
    await stand.rooms.register("d")
    assert stand.ask("device:demo/d", "publish", "devices/d/data").allowed
    await stand.door.flush()
    (credential,) = await stand.rooms.devices.credentials(caller(), "demo", "d")
    assert credential.last_used_at is None


async def test_a_persons_key_may_what_its_permissions_say_while_he_may_it(stand: Stand) -> None:
    stand.add_person(7, "operator")
    made = await PersonalKeys(stand.keys).create(
        stand.people[7], name="laptop", permissions=["message.read"]
    )
    identity = f"key:{made.key.id}"
    assert stand.ask(identity, "subscribe", "devices/+/data").allowed
    assert not stand.ask(identity, "publish", "devices/d/commands").allowed
    grant = await stand.door.authenticate(Offer("c", "any", made.token.encode(), "", False))
    assert grant.may_subscribe("devices/+/data")
    assert not grant.may_publish("devices/d/commands")
    del stand.people[7]
    ruling = stand.ask(identity, "subscribe", "devices/+/data")
    assert (ruling.allowed, ruling.may_connect) == (False, False)
    assert "whose key this is has no access any more" in ruling.reason
    with pytest.raises(RefusedError):
        await stand.door.authenticate(Offer("c", "any", made.token.encode(), "", False))


async def test_a_person_may_what_his_role_gives_and_hears_what_is_missing(stand: Stand) -> None:
    stand.add_person(7, "viewer")
    stand.add_person(8, "operator")
    topic = "devices/d/commands"
    assert stand.ask("account:7", "subscribe", "devices/+/data").allowed
    viewer = stand.ask("account:7", "publish", topic)
    assert (viewer.allowed, viewer.role) == (False, "viewer")
    assert viewer.needed == (
        "the permission 'message.publish': a role of operator, administrator, owner"
    )
    operator = stand.ask("account:8", "publish", topic)
    assert (operator.allowed, operator.template) == (True, "devices/{device_id}/commands")
    as_device = stand.ask("account:8", "publish", "devices/d/data")
    assert not as_device.allowed
    assert "only devices publish as devices" in (as_device.needed or "")


async def test_a_key_may_what_it_was_given(stand: Stand) -> None:
    by = msgspec.structs.replace(caller(), permissions=KEY_RIGHTS)
    rights = {"publish": ["in/{client_id}/{organization}"], "subscribe": ["out/{organization}/#"]}
    key = (await stand.keys.create(by, name="exporter", **rights)).key
    identity = f"key:{key.id}/exporter"
    ruling = stand.ask(identity, "publish", "in/c1/1", client_id="c1")
    assert (ruling.allowed, ruling.template) == (True, "in/{client_id}/{organization}")
    assert ruling.given_by == "the key 'exporter'"
    assert not stand.ask(identity, "publish", "in/c1/1").allowed  # who is it?
    assert stand.ask(identity, "subscribe", "out/1/+").allowed
    await stand.keys.revoke(by, key.id)
    revoked = stand.ask(identity, "subscribe", "out/1/+")
    assert (revoked.allowed, revoked.reason) == (False, "It may not connect: key revoked")


async def test_what_anonymous_clients_may_is_a_matter_of_the_listener(stand: Stand) -> None:
    assert stand.ask("anonymous", "publish", "a/b").allowed
    tls = stand.ask("anonymous", "publish", "a/b", listener="tls")
    assert (tls.allowed, tls.may_connect) == (False, False)
    assert "'tls' does not" in (tls.needed or "")
    own = "$SYS/broker/clients/c1/errors"
    with pytest.raises(RefusedError):
        await stand.door.authenticate(Offer("c", None, None, "", False))
    assert stand.ask("anonymous", "subscribe", own, client_id="c1").allowed


async def test_what_is_of_another_organisation_is_not_there(stand: Stand) -> None:
    await stand.rooms.register("theirs", by=caller(2))
    stand.add_person(9, "owner", organization_id=2)
    by = msgspec.structs.replace(caller(2), permissions=KEY_RIGHTS)
    await stand.keys.create(by, name="k", publish=["{organization}"], subscribe=[])
    for identity in ("device:demo/theirs", "account:9", "key:1", "device:demo/x", "account:10"):
        with pytest.raises(NotFoundError):
            stand.ask(identity, "publish", "a")
    with pytest.raises(ForbiddenError):
        stand.tester.test(caller(permissions=frozenset()), "anonymous", "publish", "a")


@pytest.mark.parametrize(
    ("identity", "action", "topic", "field"),
    [
        ("me", "publish", "a", "identity"),
        ("device:demo", "publish", "a", "identity"),
        ("account:x", "publish", "a", "identity"),
        ("account:" + "9" * 30, "publish", "a", "identity"),
        ("anonymous", "publish", "a/+", "topic"),
        ("anonymous", "subscribe", "a/#/b", "topic"),
        ("anonymous", "subscribe", "$share/g", "topic"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    stand: Stand, identity: str, action: str, topic: str, field: str
) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        stand.ask(identity, action, topic)
    assert refusal.value.field == field


async def test_senders_of_old_messages_are_judged_by_what_they_may_now(stand: Stand) -> None:
    await stand.rooms.register("d")
    stand.add_person(7, "viewer")
    judge = stand.judge
    assert judge.objection("device:demo/d", "c", "devices/d/data") == ""
    assert "may not publish" in judge.objection("device:demo/d", "c", "devices/e/data")
    assert "may not publish" in judge.objection("account:7", "c", "devices/d/commands")
    assert judge.objection("anonymous", "c", "any/thing") == ""
    stand.anonymous_on = {"unix"}
    assert judge.objection("anonymous", "c", "any/thing") == ""
    stand.anonymous_on = set()
    assert "may not connect any more" in judge.objection("anonymous", "c", "any/thing")
    for gone in ("device:demo/gone", "account:99", "bridge:x", "system"):
        assert judge.objection(gone, "c", "a") == f"{gone} is not known here any more"


async def test_rulings_over_http(stand: Stand) -> None:
    await stand.rooms.register("d")
    async with serving([router], {AclTester: stand.tester}) as http:
        asked = {"identity": "device:demo/d", "action": "publish", "topic": "devices/d/data"}
        shown = (await http.get("/api/v1/acl/test", params=asked)).json()
        assert (shown["allowed"], shown["right"]) == (True, "devices/d/data")
        assert shown["reason"] == "Its right 'devices/d/data' covers 'devices/d/data'"
        other = {"Organization": "2"}
        answer = await http.get("/api/v1/acl/test", params=asked, headers=other)
        assert answer.status_code == 404
        bad = await http.get("/api/v1/acl/test", params=asked | {"action": "eat"})
        assert bad.status_code == 422
