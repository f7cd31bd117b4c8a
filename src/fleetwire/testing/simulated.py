"""Simulated: an app's virtual devices live against a real server while a test runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetwire.kit.simulation import Simulator
from fleetwire.runtime.simulation import Ending, Logins, Tally, drive

MOST_S = 600.0  # no test takes longer


@asynccontextmanager
async def simulated(
    simulator: Simulator,
    mqtt_port: int,
    *,
    host: str = "127.0.0.1",
    logins: Logins | None = None,
) -> AsyncIterator[Tally]:
    """Let the devices live until the block ends, and say goodbye then.

    Gives what has happened so far: messages sent and acknowledged, errors. `logins` are user name
    and password by device; a device without one has no credentials. A fixture of pytest is made of
    it in three lines:

        @pytest.fixture
        async def fleet(server):
            simulator = Simulator(SimulationSettings(devices=200, seed=7))
            async with simulated(simulator, server.mqtt_port):
                yield simulator
    """
    ending, tally = Ending(), Tally()
    driving = asyncio.create_task(
        drive(
            simulator,
            host,
            mqtt_port,
            duration_s=MOST_S,
            logins=logins or {},
            tally=tally,
            ending=ending,
        )
    )
    try:
        yield tally
    finally:
        ending.come()
        await driving
