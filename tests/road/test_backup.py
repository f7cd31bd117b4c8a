"""A backup made while a real server takes messages, and what a restore of it holds."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from fleetwire.net.client import MQTTClient
from tests.house import House

TIMEOUT_S = 40
RATE_PER_S = 500
AFTER = 250  # messages that are still sent when the backup has ended


def fleetwire(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fleetwire.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.slow
@pytest.mark.timeout(180)  # several processes start one after the other
async def test_a_restored_backup_holds_a_prefix_of_what_was_acknowledged(
    house: House, tmp_path: Path
) -> None:
    login = house.register_device("kept-1", "weight_scale")
    client = MQTTClient("kept", username=login.username, password=login.password)
    await client.connect("127.0.0.1", house.mqtt_port)
    acknowledged: list[int] = []
    sent: set[asyncio.Task[None]] = set()
    ended = asyncio.Event()

    async def send(number: int) -> None:
        body = {"metric_type": "weight", "value": 1 + number / 100}
        assert await client.publish("devices/kept-1/data", json.dumps(body).encode()) == 0
        acknowledged.append(number)

    async def load() -> None:
        number = 0
        left = AFTER
        begun = asyncio.get_running_loop().time()
        while left:
            task = asyncio.create_task(send(number))
            sent.add(task)
            number += 1
            left -= ended.is_set()
            late_s = asyncio.get_running_loop().time() - begun - number / RATE_PER_S
            await asyncio.sleep(max(0.0, -late_s))

    loading = asyncio.create_task(load())
    while len(acknowledged) < 100:
        assert not loading.done()
        await asyncio.sleep(0.01)
    token = await asyncio.to_thread(house.login)
    before = len(acknowledged)
    archive = tmp_path / "backup.zip"
    data = ("--data-dir", str(house.data_dir))
    made = await asyncio.to_thread(fleetwire, "backup", str(archive), *data)
    by_its_end = len(acknowledged)
    ended.set()
    await loading
    await asyncio.gather(*sent)
    await client.disconnect()
    assert made.returncode == 0, made.stderr
    assert by_its_end > before, "nothing was acknowledged while the backup ran"

    restored = tmp_path / "restored"
    checked = fleetwire("restore", str(archive), "--verify")
    assert checked.returncode == 0, checked.stderr
    put = fleetwire("restore", str(archive), "--data-dir", str(restored))
    assert put.returncode == 0, put.stderr
    with closing(sqlite3.connect(restored / "fleetwire.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT value FROM device_readings WHERE device_id = 'kept-1'"
        held = sorted(round(value * 100) - 100 for (value,) in database.execute(query))
    # Sent in order on one connection, so stored in order: a prefix is 0, 1, 2 … without a gap.
    assert held == list(range(len(held)))
    assert before <= len(held) < len(acknowledged)
    assert set(acknowledged[:before]) <= set(held)

    # What was restored is a house: its people sign in, and the tokens of before are still good.
    later = house.login()
    house.stop()
    again = House(tmp_path / "again")
    again.folder.mkdir()
    again.data_dir = restored
    try:
        again.start()
        again.administrator = house.administrator
        header = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=again.url, headers=header) as http:
            me = await http.get("/api/v1/auth/me")
            gone = await http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {later}"})
        assert me.status_code == 200, me.text
        assert gone.status_code == 401  # this login came after the backup
        assert again.login()
        refused = fleetwire("restore", str(archive), "--data-dir", str(restored), "--force")
        assert refused.returncode == 2
        assert "Another Fleetwire is running" in refused.stderr
    finally:
        again.close()
