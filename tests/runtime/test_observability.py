"""What a running house says of itself: documented metrics, its parts, and lines for a machine."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fleetwire.store.backup import back_up
from tests.house import House

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that logs for a machine."""
    environment = {"FLEETWIRE_LOG_FORMAT": "json", "FLEETWIRE_LOG_LEVEL": "debug"}
    house = House(tmp_path_factory.mktemp("house"), environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


def test_the_documented_metrics_are_those_that_there_are(house: House) -> None:
    text = house.http(house.url).get("/metrics").text
    emitted = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE))
    row = r"^\| `(fleetwire_\w+)` \| (\w+) \| (.+) \|$"
    rows = re.findall(row, OPERATIONS.read_text(), re.MULTILINE)
    assert len(rows) == len({name for name, _, _ in rows})
    assert {name: kind for name, kind, _ in rows} == emitted
    assert {name: says for name, _, says in rows} == helps


def metric(house: House, name: str) -> float:
    """The value of a metric, labels and all."""
    text = house.http(house.url).get("/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_commands_are_counted_by_state(house: House) -> None:
    house.register_device("counted-1")
    path = "/api/v1/devices/medical/counted-1/commands"
    changes = 'fleetwire_commands_changes_total{state="queued"}'
    before = metric(house, changes)
    sent = house.http(house.url).post(path, json={"name": "start_monitoring"})
    assert sent.status_code == 202
    assert metric(house, changes) == before + 1
    assert metric(house, 'fleetwire_commands_open{state="queued"}') == 1
    assert house.http(house.url).post(f"/api/v1/commands/{sent.json()['id']}/cancel").is_success
    assert metric(house, 'fleetwire_commands_open{state="queued"}') == 0
    assert metric(house, 'fleetwire_commands_changes_total{state="cancelled"}') == 1


def test_requests_are_counted_by_listener_and_status(house: House) -> None:
    refused = 'fleetwire_http_requests_total{listener="platform",status="401"}'
    assert httpx.get(f"{house.url}/api/v1/devices").status_code == 401
    before = metric(house, refused)
    for _ in range(3):
        assert httpx.get(f"{house.url}/api/v1/devices").status_code == 401
    assert metric(house, refused) == before + 3
    assert httpx.get(f"{house.medical_url}/health").status_code == 200
    assert metric(house, 'fleetwire_http_requests_total{listener="medical",status="200"}') >= 1
    assert 0 < metric(house, 'fleetwire_http_request_seconds_total{listener="medical"}') < 60


def test_who_follows_events_is_counted(house: House) -> None:
    assert metric(house, "fleetwire_realtime_connections") == 0
    headers = {"Authorization": f"Bearer {house.login()}"}
    url = f"{house.url}/api/v1/realtime/events?snapshot=false"
    with httpx.stream("GET", url, headers=headers) as answer:
        lines = answer.iter_lines()  # its end would be the connection's
        assert "event: live" in lines
        assert metric(house, "fleetwire_realtime_connections") == 1
        assert metric(house, "fleetwire_realtime_readers") == 1


def test_the_age_of_the_last_backup_can_be_seen(house: House, tmp_path: Path) -> None:
    assert metric(house, "fleetwire_backup_timestamp_seconds") == 0
    before = time.time()
    database = house.data_dir / "fleetwire.db"
    back_up(database, house.data_dir, tmp_path / "b.zip", version="1", progress=lambda *_: None)
    assert before - 1 <= metric(house, "fleetwire_backup_timestamp_seconds") <= time.time()


def test_a_commit_is_counted_in_the_histogram(house: House) -> None:
    text = house.http(house.url).get("/metrics").text
    counted = re.search(r"^fleetwire_store_commit_duration_seconds_count (\S+)", text, re.MULTILINE)
    commits = re.search(r"^fleetwire_store_commits_total (\S+)", text, re.MULTILINE)
    assert counted is not None
    assert commits is not None
    assert float(counted[1]) == float(commits[1]) > 0


def test_the_detail_names_every_part(house: House) -> None:
    assert httpx.get(f"{house.url}/health/detail").status_code == 401
    parts = house.http(house.url).get("/health/detail").json()["components"]
    assert set(parts) == {"database", "broker", "ingest", "journal", "fleetwire"}
    assert {"lag_ms", "waiting_messages", "writer_queue"} <= parts["ingest"]["detail"].keys()
    assert "pending" in parts["journal"]["detail"]
    assert httpx.get(f"{house.url}/health/ready").json()["status"] == "ok"


def test_every_line_of_the_log_is_for_a_machine_and_tells_no_secret(house: House) -> None:
    token = house.login()
    assert house.administrator is not None
    device = house.register_device("logged-1")
    httpx.get(f"{house.url}/health/detail", headers={"Authorization": "Bearer not-a-token-at-all"})
    wrong = {"username": "admin", "password": "a-wrong-password"}
    httpx.post(f"{house.url}/api/v1/auth/login", json=wrong)
    house.stop()
    text = house.log()
    # The first start greets a person at the terminal, and shows the first password this once: one
    # block, and nothing else that is not JSON.
    all_lines = [line for line in text.splitlines() if line]
    others = [at for at, line in enumerate(all_lines) if not line.startswith("{")]
    assert others == list(range(others[0], others[-1] + 1))
    assert "Fleetwire is ready" in all_lines[others[0]]
    lines = [line for line in all_lines if line.startswith("{")]
    assert len(lines) >= 3
    for line in lines:
        said = json.loads(line)
        assert {"event", "level", "logger", "timestamp"} <= said.keys(), line
    logged = "\n".join(lines)
    secret = (house.data_dir / "jwt.secret").read_text().strip()
    for hidden in (token, device.password, secret, house.administrator.password):
        assert hidden not in logged
    for hidden in ("not-a-token-at-all", "a-wrong-password", token, device.password, secret):
        assert hidden not in text
