"""Load: a device in a process of its own that measures so many times a second.

    python -m tests.web.realtime.load PORT DEVICE_ID PASSWORD EVENTS PER_S PAD_CHARS

It writes the seconds from the first message to the last acknowledgement, which is after the commit.
"""

import asyncio
import json
import sys
import time

from fleetwire.net.client import MQTTClient
from fleetwire.protocol.errors import ReceiveMaximumExceededError
from tests.house import House, Login

TICK_S = 0.005
WAIT_S = 30.0


async def run_load(
    house: House, login: Login, events: int, per_s: int, *, pad_chars: int = 0
) -> float:
    """Let a process publish as this device; return how long it took in s."""
    words = ("-m", "tests.web.realtime.load", *map(str, (house.mqtt_port, *login, events, per_s)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, str(pad_chars), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return float(output)


async def publish(
    port: int, device_id: str, password: str, events: int, per_s: int, pad_chars: int
) -> float:
    """Publish readings 0, 1, 2, … with QoS 1 at an even pace; return how long it took in s."""
    pad = {"pad": "x" * pad_chars} if pad_chars else {}
    client = MQTTClient(device_id, username=device_id, password=password)
    await client.connect("127.0.0.1", port)
    topic = f"devices/{device_id}/data"
    acks = []
    began = time.monotonic()
    while len(acks) < events:
        due = min(events, int((time.monotonic() - began) * per_s) + 1)
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
    return took


if __name__ == "__main__":
    port, device_id, password, *numbers = sys.argv[1:]
    events, per_s, pad_chars = map(int, numbers)
    took = asyncio.run(publish(int(port), device_id, password, events, per_s, pad_chars))
    print(took)  # noqa: T201  # it is what is asked for
