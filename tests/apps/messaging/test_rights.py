"""A user without permission neither publishes nor receives, in no way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from fleetwire.apps.messaging import configure
from fleetwire.apps.messaging.persons import Person
from fleetwire.apps.messaging.rules import DEFAULT_RULES
from fleetwire.features.accounts.permissions import PERMISSIONS
from fleetwire.kit import Caller
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from tests.apps.messaging.serving import NAMESPACE, Served, nothing_more
from tests.web.realtime.socket_client import SocketIOClient, entered
from tests.web.realtime.talk import Refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST = 1


def person(
    account: int = 7,
    *,
    role: str = "viewer",
    organization: int = FIRST,
    rooms: tuple[str, ...] = (),
    subject: str = "",
) -> Person:
    permissions = PERMISSIONS[role]
    actor = f"account:{account}"
    caller = Caller(actor, organization, permissions, account_id=account, subject=subject)
    return Person(caller, DEFAULT_RULES, rooms, FIRST)


READS = [
    ("app/users/7/messages", True),
    ("app/users/8/messages", False),
    ("app/chat/rooms/mine", True),
    ("app/chat/rooms/theirs", False),
    ("app/chat/rooms/mine/deeper", False),
    ("app/chat/direct/7/8", True),
    ("app/chat/direct/8/7", True),
    ("app/chat/direct/8/9", False),
    ("notifications/7", True),
    ("notifications/8", False),
    ("broadcast/a/b", True),
    ("app/broadcast/alerts", True),
    ("sensors/kitchen", True),
    ("app/sensors/humidity", True),
    ("organizations/1/a", True),
    ("organizations/2/a", False),
    ("elsewhere", False),
]


@pytest.mark.parametrize(("topic", "may"), READS)
async def test_templates_say_who_reads(topic: str, may: bool) -> None:
    """Quotes «**Topic permissions** per user and role, as templates: `app/users/{userId}/#`,
    `app/chat/rooms/{roomId}` for members, `app/chat/direct/{a}/{b}` for a and b only,
    `notifications/{userId}`, `broadcast/#` read for all and write for administrators, `sensors/#`
    read.» and «Topic convention: `app/users/{userId}/{notifications,messages,status}`,
    `app/chat/rooms/{roomId}`, `app/chat/direct/{a}/{b}`, `app/sensors/{temperature,humidity}`,
    `app/broadcast/{announcements,alerts}`.».
    """
    assert person(rooms=("mine",)).may_read(topic) is may
    assert person(rooms=("mine",)).may_subscribe(topic) is may


WRITES = [
    ("app/users/7/status", "viewer", True),
    ("app/users/8/status", "viewer", False),
    ("app/users/8/status", "administrator", True),
    ("app/chat/rooms/mine", "viewer", True),
    ("app/chat/rooms/theirs", "owner", False),
    ("app/chat/direct/8/9", "owner", False),
    ("notifications/7", "operator", False),
    ("notifications/8", "administrator", True),
    ("broadcast/a", "operator", False),
    ("broadcast/a", "administrator", True),
    ("sensors/kitchen", "owner", False),
]


@pytest.mark.parametrize(("topic", "role", "may"), WRITES)
async def test_templates_say_who_writes(topic: str, role: str, may: bool) -> None:
    assert person(role=role, rooms=("mine",)).may_write(topic) is may


async def test_other_organisations_have_what_names_them_alone() -> None:
    other = person(organization=2, role="owner", rooms=("room",))
    for topic in ("app/users/7/a", "app/chat/rooms/room", "app/chat/direct/7/1", "notifications/7"):
        assert other.may_read(topic)
    assert other.may_read("organizations/2/a")
    for topic in ("broadcast/a", "sensors/a", "chat/a", "test/a", "organizations/1/a"):
        assert not other.may_read(topic)
        assert not other.may_write(topic)
    assert not other.may_write("app/users/8/a")


async def test_people_are_known_by_the_sub_of_their_token() -> None:
    known = person(subject="auth0|5f7c")
    assert known.user_id == "auth0|5f7c"
    assert known.may_read("app/users/auth0|5f7c/a")
    assert known.may_read("app/users/7/a")


@pytest.mark.parametrize("subject", ["8", "+", "#", "a/b", "$SYS", "a\0"])
async def test_a_sub_cannot_stand_for_somebody_else(subject: str) -> None:
    known = person(subject=subject)
    assert known.user_id == "7"
    for topic in ("app/users/8/a", "app/users/9/a", "notifications/8", "notifications/9"):
        assert not known.may_read(topic)
        assert not known.may_write(topic)


async def test_a_key_has_what_it_was_given() -> None:
    def key(*permissions: str) -> Person:
        caller = Caller("key:3/exporter", FIRST, frozenset(permissions))
        return Person(caller, DEFAULT_RULES, (), FIRST)

    assert key("message.read").may_read("chat/a")
    assert not key("message.read").may_write("chat/a")
    assert not key("message.publish").may_read("chat/a")
    assert not key("message.read").may_read("app/users/3/a")


# --- in a whole house ---


async def denied(client: SocketIOClient, event: str, **said: Any) -> None:
    answer = await client.ask(event, said)
    assert answer["success"] is False, answer
    assert "may not" in answer["error"] or "belong to the broker" in answer["error"]


async def test_nothing_of_somebody_else_is_read_or_written(served: Served) -> None:
    """«Denied → error, audited.»"""
    async with served.socket("30") as client:
        for topic in ("app/users/31/a", "app/chat/rooms/closed", "app/chat/direct/31/32", "x/y"):
            await denied(client, "mqtt:publish", topic=topic, payload=1)
            await denied(client, "mqtt:subscribe", topic=topic)
            answer = await served.http("30").get("/mqtt/history", params={"topic": topic})
            assert answer.status_code == 403
        for topic in ("$share/g/app/users/31/a", "$share/g/chat/a", "$SYS/#", "$SYS/broker/uptime"):
            await denied(client, "mqtt:subscribe", topic=topic)
            answer = await served.http("30").post("/mqtt/subscribe", json={"topic": topic})
            assert answer.status_code == 400
    owner = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{served.house.ports['platform']}",
        headers={"Authorization": "Bearer 1 owner"},
    )
    async with owner:
        page = await owner.get("/api/v1/audit", params={"action": "messaging.publish"})
        (found,) = [
            each for each in page.json()["items"] if each["subject"] == "topic:app/users/31/a"
        ]
        assert (found["actor"], found["outcome"]) == ("account:30", "refused")


async def test_wildcards_bring_nothing_of_somebody_else(served: Served) -> None:
    async with served.socket("33") as client:
        for topic in ("#", "app/#", "app/users/+/+", "+/34", "app/chat/direct/+/+"):
            assert "error" not in await client.ask("mqtt:subscribe", {"topic": topic, "qos": 2})
        for topic in ("app/users/34/a", "notifications/34", "app/chat/direct/34/35", "elsewhere"):
            await served.publish_as_house(topic, b"0")
        await served.publish_as_house("app/users/33/a", b"1")
        assert (await client.next("mqtt:message"))["topic"] == "app/users/33/a"
        assert await nothing_more(client) == []


async def test_neither_retained_messages_nor_history_do(served: Served) -> None:
    admin = served.http("1 administrator")
    for user in (36, 37):
        body = {"topic": f"notifications/{user}", "payload": user, "qos": 1, "retain": True}
        assert (await admin.post("/mqtt/publish", json=body)).status_code == 200
    async with served.socket("36") as client:
        await client.ask("mqtt:subscribe", {"topic": "notifications/#"})
        assert (await client.next("mqtt:message"))["payload"] == 36
        assert await nothing_more(client) == []
    async with served.socket("36", since="0") as client:
        await client.ask("mqtt:subscribe", {"topic": "notifications/+"})
        told = {(await client.next("mqtt:message"))["payload"] for _ in range(2)}
        assert told == {36}  # as retained, and as stored
    found = await served.http("36").get("/mqtt/history", params={"topic": "notifications/#"})
    assert [each["payload"] for each in found.json()["messages"]] == [36]


async def test_a_room_is_its_members_and_no_longer_than_they_are(served: Served) -> None:
    admin = served.http("1 administrator")
    member = "/mqtt/rooms/tea/members/38"
    async with served.socket("38") as client, served.socket("38") as wide:
        await denied(client, "mqtt:subscribe", topic="app/chat/rooms/tea")
        assert (await admin.put(member)).status_code == 200
        await client.ask("mqtt:subscribe", {"topic": "app/chat/rooms/tea", "qos": 1})
        await wide.ask("mqtt:subscribe", {"topic": "app/#", "qos": 1})
        await served.http("38").post("/mqtt/subscribe", json={"topic": "app/chat/rooms/+"})
        said = {"topic": "app/chat/rooms/tea", "payload": 1}
        assert "error" not in await client.ask("mqtt:publish", said)
        assert (await client.next("mqtt:message"))["payload"] == 1
        assert (await wide.next("mqtt:message"))["payload"] == 1
        assert (await admin.delete(member)).status_code == 200
        lost = await client.next("mqtt:subscribe:error")
        assert lost["topic"] in ("app/chat/rooms/tea", "app/chat/rooms/+")
        await served.publish_as_house("app/chat/rooms/tea", b"2")
        await served.publish_as_house("app/users/38/after", b"3")
        assert (await wide.next("mqtt:message"))["payload"] == 3
        assert await nothing_more(client) == []
        await denied(client, "mqtt:publish", **said)
        found = await served.http("38").get("/mqtt/history", params={"topic": "app/#"})
        assert "app/chat/rooms/tea" not in {each["topic"] for each in found.json()["messages"]}
    async with served.socket("38", since="0") as again:
        await again.ask("mqtt:subscribe", {"topic": "app/#"})
        told = await again.next("mqtt:message")
        assert told["topic"] == "app/users/38/after"
        assert await nothing_more(again) == []


async def test_another_role_ends_what_it_allowed(served: Served, tmp_path: Path) -> None:
    async with served.socket("42 administrator") as client:
        said = {"topic": "broadcast/a", "payload": 1}
        assert "error" not in await client.ask("mqtt:publish", said)
        served.gate.roles[42] = "viewer"
        served.look_again(42)
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            while "error" not in await client.ask("mqtt:publish", said):
                pass


async def test_whoever_is_gone_is_ended_within_a_second(served: Served) -> None:
    async with served.socket("43") as client:
        await client.ask("mqtt:subscribe", {"topic": "chat/#", "qos": 1})
        served.gate.gone.add(43)
        served.look_again(43)
        async with asyncio.timeout(1):
            assert (await client.next("refused"))["status"] == 401
            await client.closed()
        await served.publish_as_house("chat/late", b"1")
        assert not [each for each in client.told if each[0] == "mqtt:message"]
    with pytest.raises(Refused):
        async with served.socket("43"):
            pass


async def test_another_organisations_room_is_not_there(served: Served) -> None:
    ours, theirs = served.http("1 administrator"), served.http("44 administrator 2")
    assert (await ours.put("/mqtt/rooms/ours/members/45")).status_code == 200
    assert (await theirs.put("/mqtt/rooms/ours/members/45")).status_code == 409
    assert (await theirs.delete("/mqtt/rooms/ours/members/45")).status_code == 404
    assert (await theirs.get("/mqtt/rooms")).json() == {"rooms": []}
    async with served.socket("45 viewer 2") as client:
        await denied(client, "mqtt:subscribe", topic="app/chat/rooms/ours")
        await denied(client, "mqtt:subscribe", topic="chat/a")


@pytest.mark.parametrize("member", ["a%2Fb/members/1", "%2B/members/1", "a/members/%23"])
async def test_a_room_is_one_level_of_a_topic(served: Served, member: str) -> None:
    answer = await served.http("1 administrator").put(f"/mqtt/rooms/{member}")
    assert answer.status_code in (400, 404)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[House]:
    """A house that believes the tokens of whoever shares its secret."""
    (tmp_path / "data").mkdir()
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    overrides |= {"data_dir": tmp_path / "data", "app_ports": {"messaging": 0}}
    environment = {"FLEETWIRE_JWT_SECRET": SECRET, "FLEETWIRE_JWT_DEFAULT_ROLE": "viewer"}
    house = House(load(overrides, environment, tmp_path), apps=[configure({})])
    try:
        await house.start()
        yield house
    finally:
        await house.stop()


SECRET = "a secret that is shared with the issuer of tokens"


@pytest.mark.asyncio(loop_scope="function")
async def test_the_sub_of_a_shared_secrets_token_is_the_user_id(outside: House) -> None:
    """«JWT Bearer (HS256 shared secret such as Supabase's, or RS256/ES256 by JWKS URL; `sub` is
    the user id)»."""
    sub = "2e9c2f4e-8f63-4c8e-a4ba-3d1c6b1f9b10"
    claims = {"sub": sub, "email": "ann@x.example", "exp": 4_000_000_000, "role": "authenticated"}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    async with entered(outside.ports["messaging"], NAMESPACE, {"token": token}) as client:
        topic = f"app/users/{sub}/messages"
        assert (await client.ask("mqtt:subscribe", {"topic": topic}))["userId"] == sub
        await client.ask("mqtt:publish", {"topic": topic, "payload": "to myself"})
        assert (await client.next("mqtt:message"))["payload"] == "to myself"
        await denied(client, "mqtt:subscribe", topic="app/users/somebody/messages")
