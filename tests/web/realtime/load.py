"""Load: a device in a process of its own that measures so many times a second.

    python -m tests.web.realtime.load PORT DEVICE_ID PASSWORD EVENTS PER_S PAD_CHARS

It publishes so many events, and goes on until its standard input ends, up to three times as many.
It writes how many there were, and the seconds from the first one to the last acknowledgement, which
is after the commit.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE

from fleetwire.net.client import MQTTClient
from fleetwire.protocol.errors import ReceiveMaximumExceededError
from tests.house import House, Login

TICK_S = 0.005
WAIT_S = 60.0


async def run_load(
    house: House,
    login: Login,
    events: int,
    per_s: int,
    *,
    pad_chars: int = 0,
    enough: asyncio.Event | None = None,
) -> tuple[int, float]:
    """Let a process publish as this device; return how many there were and the time in s.

    With `enough` it goes on until that is set.
    """
    words = map(str, (house.mqtt_port, *login, events, per_s, pad_chars))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.web.realtime.load", *words, stdin=PIPE, stdout=PIPE
    )
    if enough is not None:
        await enough.wait()
    output, _ = await process.communicate(b"")  # and its input ends
    assert process.returncode == 0
    count, took = output.split()
    return int(count), float(took)


async def publish(
    port: int, device_id: str, password: str, events: int, per_s: int, pad_chars: int
) -> tuple[int, float]:
    """Publish readings 0, 1, 2, … with QoS 1 at an even pace; return how many, in which time."""
    is_enough = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    pad = {"pad": "x" * pad_chars} if pad_chars else {}
    client = MQTTClient(device_id, username=device_id, password=password)
    await client.connect("127.0.0.1", port)
    topic = f"devices/{device_id}/data"
    acks = []
    began = time.monotonic()
    while len(acks) < (events if is_enough.done() else 3 * events):
        most = max(events, len(acks)) if is_enough.done() else 3 * events
        due = min(most, int((time.monotonic() - began) * per_s) + 1)
        for number in range(len(acks), due):
            body = {"device_id": device_id, "metric_type": "n", "value": number} | pad
            payload = json.dumps(body | {"timestamp": number}).encode()
            try:
                ack = client.publish_soon(topic, payload, 1)
            except ReceiveMaximumExceededError:
                break  # the server is behind: the pace is made up for later
            assert ack is not None
            acks.append(ack)
        await asyncio.sleep(TICK_S)
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*acks)
    took = time.monotonic() - began
    await client.disconnect()
    return len(acks), took


if __name__ == "__main__":
    port, device_id, password, *numbers = sys.argv[1:]
    events, per_s, pad_chars = map(int, numbers)
    told = asyncio.run(publish(int(port), device_id, password, events, per_s, pad_chars))
    print(*told)  # noqa: T201  # it is what is asked for
