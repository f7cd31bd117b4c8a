"""Functions of apps that hear what passes the broker."""

import asyncio
from typing import Any

import pytest

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Caller, Clock, Incoming, Messages, Payload, Raw
from fleetwire.runtime.hearers import Hearers
from fleetwire.testing import TestHub


class Note(Payload):
    text: str


class Heard:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._news = asyncio.Condition()

    async def add(self, *call: Any) -> None:
        async with self._news:
            self.calls.append(call)
            self._news.notify_all()

    async def until(self, count: int) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.calls) >= count)
        return self.calls


async def publish(hub: TestHub, topic: str, payload: bytes) -> None:
    messages: Messages = hub.service(Messages)  # type: ignore[type-abstract]
    await messages.publish(Caller.system(1), topic, payload, qos=1)


async def test_a_function_hears_a_template_with_places_body_and_services() -> None:
    """«Server-side handlers for app authors: a decorated function on `notifications/{user_id}`,
    with wildcards; `publish()` from any service.»"""
    app, heard = App("notes"), Heard()

    @app.hears("notifications/{user_id}")
    async def note(user_id: str, said: Note, message: Incoming, clock: Clock) -> None:
        await heard.add(user_id, said.text, message.topic, clock.now() > 0)

    @app.hears("notifications/#")
    async def everything(payload: Raw) -> None:
        await heard.add(bytes(payload))

    async with TestHub(app) as hub:
        await publish(hub, "notifications/7", b'{"text":"a"}')
        await publish(hub, "notifications/7/deeper", b"x")
        await publish(hub, "elsewhere", b"x")
        await publish(hub, "notifications/8", b'{"text":"b"}')
        assert await heard.until(5) == [
            ("7", "a", "notifications/7", True),
            (b'{"text":"a"}',),
            (b"x",),
            ("8", "b", "notifications/8", True),
            (b'{"text":"b"}',),
        ]


async def test_a_function_that_fails_goes_on_with_the_next_message() -> None:
    app, heard = App("notes"), Heard()

    @app.hears("notes/+")
    async def note(said: Note) -> None:
        if said.text == "bad":
            raise ZeroDivisionError
        await heard.add(said.text)

    async with TestHub(app) as hub:
        for payload in (b'{"text":"bad"}', b"no JSON", b'{"text":"good"}'):
            await publish(hub, "notes/a", payload)
        assert await heard.until(1) == [("good",)]


def test_what_cannot_be_given_ends_the_start() -> None:
    async def two_bodies(one: int, other: int) -> None: ...

    def plain() -> None: ...

    async def fine() -> None: ...

    for template, function, reason in (
        ("a", two_bodies, "'other'"),
        ("a", plain, "async"),
        ("a/#/b", fine, "fine"),
    ):
        app = App("notes")
        app.hears(template)(function)
        with pytest.raises(SettingsError, match=reason):
            Hearers([app], {})
