"""200 sockets on overlapping wildcards, at random, against a model of who is to get what.

Round by round sockets subscribe, unsubscribe, go away and come back, users subscribe over HTTP and
enter and leave a room. Then messages of every QoS are published in every way there is. Each socket
must have got exactly what its filters, its user's rights and the QoS say, in the order published.
"""

import asyncio
import random
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fleetwire.net.client import MQTTClient
from tests.apps.messaging.serving import Served, nothing_more, serving
from tests.web.realtime.socket_client import SocketIOClient

USERS = 50
SOCKETS = 200
ROOM = "app/chat/rooms/tea"
TOPICS = ["test/a", "test/a/b", "test/b/a", "chat/x", "chat/y", "sensors/k", "broadcast/z", ROOM]
FILTERS = [*TOPICS, "#", "+/+", "test/#", "test/+/b", "+/a/#", "chat/+", "app/#"]
FILTERS += ["app/chat/rooms/+"]
OF_THE_ROOM = (ROOM, "app/chat/rooms/+")
ELSEWHERE = ["elsewhere/a", "app/chat/rooms/other", "notifications/9999"]

Told = list[tuple[str, int, int]]  # topic, number, QoS


def matched(topic_filter: str, topic: str) -> bool:
    """Say whether a filter matches, by another way than the server's."""
    pattern = re.escape(topic_filter).replace(r"\#", "#").replace(r"\+", "[^/]*")
    return re.fullmatch(re.sub(r"(^|/)#$", r"(\1.*)?", pattern), topic) is not None


class User:
    """What the model knows of one user."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_member = False
        self.own_topic = f"app/users/{number}/m"
        self.over_http: dict[str, int] = {}

    def may_read(self, topic: str) -> bool:
        if topic == ROOM:
            return self.is_member
        return topic in TOPICS or topic == self.own_topic

    def may_subscribe(self, topic_filter: str) -> bool:
        if topic_filter.startswith("app/users/"):
            return matched(topic_filter, self.own_topic)
        return self.is_member or topic_filter not in OF_THE_ROOM


class Socket:
    """A socket, and what the model says of it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client: SocketIOClient | None = None
        self.stack = AsyncExitStack()
        self.filters: dict[str, int] = {}
        self.due: Told = []

    async def come(self, served: Served) -> None:
        self.client = await self.stack.enter_async_context(served.socket(str(self.user.number)))
        self.filters = {}

    async def go(self) -> None:
        await self.stack.aclose()
        self.client = None

    def expect(self, topic: str, number: int, qos: int) -> None:
        held = self.user.over_http | self.filters
        found = [asked for topic_filter, asked in held.items() if matched(topic_filter, topic)]
        if found and self.user.may_read(topic):
            self.due.append((topic, number, min(qos, max(found))))


async def act(served: Served, socket: Socket, chance: random.Random) -> None:
    """Do something at random, and note it in the model once it is answered."""
    if socket.client is None:
        await socket.come(served)
        return
    number = chance.randint(1, USERS)
    topic_filter = chance.choice([*FILTERS, socket.user.own_topic, f"app/users/{number}/+"])
    kind = chance.random()
    if kind < 0.1:
        await socket.go()
    elif kind < 0.65:
        qos = chance.randint(0, 2)
        answer = await socket.client.ask("mqtt:subscribe", {"topic": topic_filter, "qos": qos})
        may = socket.user.may_subscribe(topic_filter)
        assert ("error" not in answer) is may, (topic_filter, answer)
        if may:
            socket.filters[topic_filter] = qos
    else:
        held = [each for each in socket.filters if each not in socket.user.over_http]
        if held:
            ended = chance.choice(held)
            answer = await socket.client.ask("mqtt:unsubscribe", {"topic": ended})
            assert "error" not in answer
            del socket.filters[ended]


async def act_as_user(
    served: Served, user: User, sockets: list[Socket], chance: random.Random
) -> None:
    """Enter or leave the room, or subscribe over HTTP."""
    if chance.random() < 0.5:
        user.is_member = not user.is_member
        method = "PUT" if user.is_member else "DELETE"
        path = f"/mqtt/rooms/tea/members/{user.number}"
        answer = await served.http("1000 administrator").request(method, path)
        assert answer.status_code == 200
        if not user.is_member:
            for socket in sockets:
                for lost in OF_THE_ROOM:
                    socket.filters.pop(lost, None)
        return
    topic_filter, qos = chance.choice(["test/#", "chat/x"]), chance.randint(0, 2)
    if any(topic_filter in socket.filters for socket in sockets):
        return  # the QoS of what is subscribed both ways is another test's
    body = {"topic": topic_filter, "qos": qos}
    answer = await served.http(str(user.number)).post("/mqtt/subscribe", json=body)
    assert answer.status_code == 201
    user.over_http[topic_filter] = qos


async def run(served: Served, seed: int, rounds: int) -> int:
    chance = random.Random(seed)
    users = [User(number) for number in range(1, USERS + 1)]
    sockets = [Socket(users[index % USERS]) for index in range(SOCKETS)]
    number = delivered = 0
    async with served.mqtt("publisher") as device:
        try:
            for _ in range(rounds):
                # What one user does comes one after the other, so that the model knows the order.
                await asyncio.gather(*[of_user(served, user, sockets, chance) for user in users])
                for _ in range(12):
                    topic = chance.choice([*TOPICS, *ELSEWHERE, chance.choice(users).own_topic])
                    qos = chance.randint(0, 2)
                    number += 1
                    await publish(served, device, topic, number, qos, chance.random())
                    for socket in sockets:
                        if socket.client is not None:
                            socket.expect(topic, number, qos)
                delivered += sum(await asyncio.gather(*[check(socket) for socket in sockets]))
        finally:
            for socket in sockets:
                await socket.go()
    return delivered


async def of_user(served: Served, user: User, sockets: list[Socket], chance: random.Random) -> None:
    own = [socket for socket in sockets if socket.user is user]
    for socket in chance.sample(own, 3):
        await act(served, socket, chance)
    if chance.random() < 0.1:
        await act_as_user(served, user, own, chance)


async def publish(
    served: Served, device: MQTTClient, topic: str, number: int, qos: int, way: float
) -> None:
    """Publish by an MQTT client, by HTTP, or by the house, and return when it has been told."""
    body = {"topic": topic, "payload": number, "qos": qos}
    if way < 0.4 and topic.startswith(("test", "chat", "broadcast")):
        answer = await served.http("1000 administrator").post("/mqtt/publish", json=body)
        assert answer.status_code == 200
    elif way < 0.7 and qos:
        await device.publish(topic, str(number).encode(), qos=qos)
    else:
        await served.publish_as_house(topic, str(number).encode(), qos)
        await served.told()


async def check(socket: Socket) -> int:
    """Compare what a socket was told with what the model says; return how many messages."""
    due, socket.due = socket.due, []
    if socket.client is None:
        return 0
    told = [
        (each["topic"], each["payload"], each["qos"]) for each in await nothing_more(socket.client)
    ]
    assert told == due, (socket.user.number, socket.filters)
    socket.client.told.clear()
    return len(told)


@pytest.mark.slow
async def test_each_socket_gets_exactly_what_the_model_says(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert await run(served, seed=6, rounds=8) > 1_500
