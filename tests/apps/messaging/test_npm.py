"""The command line of the npm package `mqtt`, as people try it first."""

import asyncio
from pathlib import Path

import pytest

from tests.apps.messaging.serving import Served

pytestmark = [pytest.mark.needs_node, pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PROGRAMS = Path(__file__).parents[2] / "node" / "node_modules" / ".bin"
WITHIN_S = 30


async def test_the_npm_clients_first_test(served: Served) -> None:
    """«`mqtt sub -t 'test/#'` / `mqtt pub -t test/hello` from the npm package `mqtt`.»"""
    where = ("-h", "127.0.0.1", "-p", str(served.house.ports["mqtt"]))
    watched = asyncio.Event()
    listening = served.house.server.tell_listening

    def listens(*about: object) -> None:
        listening(*about)  # type: ignore[arg-type]
        watched.set()

    served.house.server.tell_listening = listens  # type: ignore[method-assign]
    program = str(PROGRAMS / "mqtt")
    subscriber = await asyncio.create_subprocess_exec(
        program, "sub", *where, "-t", "test/#", "-v", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WITHIN_S), served.socket("1") as person:
            await person.ask("mqtt:subscribe", {"topic": "test/#"})
            await watched.wait()
            publisher = await asyncio.create_subprocess_exec(
                program, "pub", *where, "-t", "test/hello", "-m", "from npm"
            )
            assert await publisher.wait() == 0
            assert subscriber.stdout is not None
            assert b"from npm" in await subscriber.stdout.readline()
            assert (await person.next("mqtt:message"))["payload"] == "from npm"
    finally:
        subscriber.kill()
        await subscriber.wait()
