"""The HTTP routes: what they take, give, and write into the audit."""

from typing import Any

import httpx
import pytest

from fleetwire.kit import RecentMessage
from fleetwire.kit.instants import parse
from tests.apps.medical.fakes import AT, FakeHouse

ISO = "2026-01-31T12:00:00.000Z"


async def test_registration_gives_the_credentials_once(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    assert registered == {
        "id": 1,
        "device_id": "bp-1",
        "type": "blood_pressure_monitor",
        "patient_id": "P-1",
        "model": None,
        "serial_number": None,
        "status": "inactive",
        "reported": {},
        "connected": False,
        "connected_reason": None,
        "connected_since": None,
        "last_seen": None,
        "created_at": ISO,
        "updated_at": ISO,
        "mqtt": {
            "username": "bp-1",
            "password": "secret",
            "topics": {
                "data": "devices/bp-1/data",
                "status": "devices/bp-1/status",
                "commands": "devices/bp-1/commands",
            },
        },
    }
    again = (await http.get("/devices/bp-1")).json()
    assert again == {name: value for name, value in registered.items() if name != "mqtt"}


async def test_a_registered_id_is_a_conflict(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    body = {"device_id": "bp-1", "type": "x", "patient_id": 17}
    assert (await http.post("/devices/register", json=body)).status_code == 409


@pytest.mark.parametrize("missing", ["device_id", "type", "patient_id"])
async def test_registration_names_the_field_at_fault(http: httpx.AsyncClient, missing: str) -> None:
    body = {"device_id": "d", "type": "t", "patient_id": "p"}
    del body[missing]
    answer = await http.post("/devices/register", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", missing]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/devices/register"),
        ("GET", "/devices"),
        ("GET", "/devices/bp-1"),
        ("PATCH", "/devices/bp-1"),
        ("DELETE", "/devices/bp-1"),
        ("GET", "/devices/bp-1/data"),
        ("POST", "/devices/bp-1/command"),
        ("GET", "/devices/bp-1/commands"),
        ("GET", "/health/detailed"),
        ("POST", "/publish?topic=a&payload=b"),
        ("POST", "/subscribe?topic=a"),
        ("GET", "/messages/a"),
    ],
)
async def test_every_route_asks_who_is_there(
    http: httpx.AsyncClient, fakes: FakeHouse, method: str, path: str
) -> None:
    body = {"device_id": "d", "type": "t", "patient_id": "p", "command": "c"}
    del http.headers["Authorization"]
    answer = await http.request(method, path, json=body if method in ("POST", "PATCH") else None)
    assert answer.status_code == 401
    assert (fakes.devices.records, fakes.messages.calls, fakes.audit.records) == ({}, [], [])


async def test_devices_are_listed_by_patient(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object]
) -> None:
    answer = (await http.get("/devices?patient_id=P-1&search=bp&limit=7&cursor=c")).json()
    assert [device["device_id"] for device in answer["items"]] == ["bp-1"]
    assert answer["next_cursor"] == "next"
    assert fakes.devices.listed == {
        "attributes": {"patient_id": "P-1"},
        "search": "bp",
        "limit": 7,
        "cursor": "c",
    }
    await http.get("/devices")
    assert fakes.devices.listed["attributes"] is None
    assert fakes.audit.records == [("patient.read", "patient:P-1"), ("patient.read", "patients")]


async def test_who_names_what_he_saw_overwrites_nobodys_work(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    seen = (await http.get("/devices/bp-1")).headers["etag"]
    headers = {"If-Match": seen}
    first = await http.patch("/devices/bp-1", json={"model": "M7"}, headers=headers)
    assert first.status_code == 200
    second = await http.patch("/devices/bp-1", json={"model": "M8"}, headers=headers)
    assert second.status_code == 412
    now = await http.get("/devices/bp-1")
    assert now.json()["model"] == "M7"
    assert now.headers["etag"] == first.headers["etag"] != seen


async def test_a_change_touches_what_is_sent(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    changed = (await http.patch("/devices/bp-1", json={"model": "M7"})).json()
    assert (changed["model"], changed["patient_id"]) == ("M7", "P-1")
    changed = (await http.patch("/devices/bp-1", json={"model": None, "patient_id": 18})).json()
    assert (changed["model"], changed["patient_id"]) == (None, "18")
    assert (await http.patch("/devices/bp-1", json={"patient_id": ""})).status_code == 422


async def test_a_deleted_device_is_gone(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    assert (await http.delete("/devices/bp-1")).status_code == 204
    assert (await http.delete("/devices/bp-1")).status_code == 404


# --- data ---


async def test_data_comes_with_the_message_as_sent_and_is_audited_once(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object]
) -> None:
    answer = (await http.get("/devices/bp-1/data")).json()
    assert answer == {
        "device_id": "bp-1",
        "items": [
            {
                "id": 5,
                "device_id": "bp-1",
                "metric_type": "blood_pressure.systolic",
                "value": 120,
                "unit": "mmHg",
                "timestamp": ISO,
                "received_at": "2026-01-31T12:00:00.001Z",
                "flagged": False,
                "metadata": {"systolic": 120},
            }
        ],
        "next_cursor": "next",
    }
    assert fakes.audit.records == [("patient.read", "patient:P-1")]


async def test_data_is_narrowed_by_the_query(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object]
) -> None:
    query = (
        "metric_type=blood_pressure&from=2026-01-31T13:00:00+01:00&to=1769860801&limit=9&cursor=c"
    )
    assert (await http.get(f"/devices/bp-1/data?{query}")).status_code == 200
    assert fakes.telemetry.asked == {
        "metric": "blood_pressure",
        "from_at": AT,
        "to_at": AT + 1_000_000,
        "limit": 9,
        "cursor": "c",
    }


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31 12:00:00", AT),
        ("2026-01-31T12:00:00Z", AT),
        ("2026-01-31T13:00:00+0100", AT),
        ("2026-01-31T11:00:00-01:00", AT),
        ("2026-01-31", parse("2026-01-31T00:00:00Z")),
    ],
)
async def test_a_time_in_the_query_may_be_written_in_any_usual_way(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object], text: str, at: int
) -> None:
    for escaped in (text, text.replace("+", "%2B")):
        assert (await http.get(f"/devices/bp-1/data?from={escaped}")).status_code == 200
        assert fakes.telemetry.asked["from_at"] == at


@pytest.mark.parametrize(
    ("agg", "numbers"),
    [
        (None, {"count": 3, "min": 60.0, "max": 80.0, "avg": 70.0}),
        ("avg", {"avg": 70.0}),
        ("min,max", {"min": 60.0, "max": 80.0}),
    ],
)
async def test_buckets_carry_the_numbers_that_are_asked_for(
    http: httpx.AsyncClient,
    fakes: FakeHouse,
    registered: dict[str, object],
    agg: str | None,
    numbers: dict[str, Any],
) -> None:
    chosen = "" if agg is None else f"&agg={agg}"
    answer = (await http.get(f"/devices/bp-1/data?bucket=5m{chosen}")).json()
    assert answer["items"] == [
        {"metric_type": "heart_rate", "unit": "/min", "timestamp": ISO, **numbers}
    ]
    assert fakes.telemetry.asked["bucket_us"] == 300_000_000


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=", "to"),
        ("bucket=often", "bucket"),
        ("bucket=0s", "bucket"),
        ("bucket=400d", "bucket"),
        ("bucket=5m&agg=median", "agg"),
        ("bucket=5m&agg=", "agg"),
        ("agg=avg", "agg"),
        ("bucket=5m&cursor=c", "cursor"),
    ],
)
async def test_a_bad_query_names_its_field_and_reads_nothing(
    http: httpx.AsyncClient,
    fakes: FakeHouse,
    registered: dict[str, object],
    query: str,
    field: str,
) -> None:
    answer = await http.get(f"/devices/bp-1/data?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (fakes.telemetry.asked, fakes.audit.records) == ({}, [])


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
async def test_a_limit_has_bounds(http: httpx.AsyncClient, limit: str) -> None:
    assert (await http.get(f"/devices/bp-1/data?limit={limit}")).status_code == 422


async def test_data_of_an_unknown_device_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.get("/devices/nobody/data")).status_code == 404


# --- commands ---


async def test_a_command_is_accepted_and_flat_on_the_wire(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object]
) -> None:
    body = {"command": "start", "parameters": {"interval": 30}}
    answer = await http.post("/devices/bp-1/command", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    assert answer.json() == {
        "id": "c1",
        "device_id": "bp-1",
        "command": "start",
        "parameters": {"interval": 30},
        "state": "queued",
        "reason": None,
        "result": None,
        "attempts": 1,
        "created_at": ISO,
        "expires_at": "2026-01-31T12:01:00.000Z",
        "updated_at": ISO,
        "timeline": [{"state": "queued", "reason": None, "at": ISO}],
    }
    (sent,) = fakes.commands.sent
    assert (sent["name"], sent["parameters"]) == ("start", {"interval": 30})
    assert (sent["expires_in_s"], sent["idempotency_key"]) == (60.0, "k")
    assert fakes.commands.waited_s is None


@pytest.mark.parametrize(
    ("outcome", "status"), [("delivered", 200), ("failed", 200), ("sent", 202), ("expired", 409)]
)
async def test_waiting_answers_with_the_outcome(
    http: httpx.AsyncClient,
    fakes: FakeHouse,
    registered: dict[str, object],
    outcome: str,
    status: int,
) -> None:
    fakes.commands.outcome = outcome
    url = "/devices/bp-1/command?wait=10s&expires_in=5s"
    answer = await http.post(url, json={"command": "start"})
    assert answer.status_code == status
    assert fakes.commands.waited_s == 10.0
    assert fakes.commands.sent[0]["expires_in_s"] == 5.0
    if status != 409:
        assert answer.json()["state"] == outcome


async def test_nobody_waits_for_ever(
    http: httpx.AsyncClient, fakes: FakeHouse, registered: dict[str, object]
) -> None:
    await http.post("/devices/bp-1/command?wait=1d", json={"command": "start"})
    assert fakes.commands.waited_s == 60.0


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        ("/devices/nobody/command", {"command": "start"}, 404),
        ("/devices/bp-1/command", {}, 422),
        ("/devices/bp-1/command", {"command": ""}, 422),
        ("/devices/bp-1/command", {"command": "a", "parameters": [1]}, 422),
        ("/devices/bp-1/command", {"command": "a", "parameters": {"command": "b"}}, 422),
        ("/devices/bp-1/command?wait=soon", {"command": "start"}, 422),
    ],
)
async def test_a_command_that_cannot_be_sent_is_refused(
    http: httpx.AsyncClient,
    fakes: FakeHouse,
    registered: dict[str, object],
    url: str,
    body: dict[str, Any],
    status: int,
) -> None:
    assert (await http.post(url, json=body)).status_code == status
    assert fakes.commands.sent == []


async def test_commands_are_listed_with_their_timelines(
    http: httpx.AsyncClient, registered: dict[str, object]
) -> None:
    answer = (await http.get("/devices/bp-1/commands")).json()
    assert [command["state"] for command in answer["items"]] == ["delivered"]
    assert answer["items"][0]["timeline"] != []
    assert answer["next_cursor"] is None


# --- messages ---


async def test_publish_takes_query_parameters(http: httpx.AsyncClient, fakes: FakeHouse) -> None:
    answer = await http.post("/publish", params={"topic": "a/b", "payload": "{}", "qos": 1})
    assert answer.status_code == 200
    body = answer.json()
    assert parse(body.pop("timestamp")) > AT
    assert body == {
        "success": True,
        "message": "Message published",
        "topic": "a/b",
        "message_id": "m1",
        "qos": 1,
    }
    assert fakes.messages.calls == [("publish", "a/b", b"{}", 1)]


@pytest.mark.parametrize("topic", ["devices/+/data", "devices/%2B/data"])
async def test_publishing_to_a_wildcard_is_a_400(
    http: httpx.AsyncClient, fakes: FakeHouse, topic: str
) -> None:
    assert (await http.post(f"/publish?topic={topic}&payload=x")).status_code == 400
    assert fakes.messages.calls == []


@pytest.mark.parametrize("qos", ["3", "-1", "x"])
async def test_qos_is_0_to_2(http: httpx.AsyncClient, qos: str) -> None:
    assert (await http.post(f"/publish?topic=a&payload=b&qos={qos}")).status_code == 422
    assert (await http.post(f"/subscribe?topic=a&qos={qos}")).status_code == 422


async def test_a_wildcard_may_be_subscribed_escaped_or_not(
    http: httpx.AsyncClient, fakes: FakeHouse
) -> None:
    for written in ("devices/+/data", "devices/%2B/data"):
        answer = await http.post(f"/subscribe?topic={written}&qos=1")
        assert answer.json()["topic"] == "devices/+/data"
        assert answer.json()["message_id"] == "w1"
    assert fakes.messages.calls == [("watch", "devices/+/data", 1)] * 2


async def test_messages_of_a_topic_with_slashes_are_read(
    http: httpx.AsyncClient, fakes: FakeHouse
) -> None:
    fakes.messages.seen = [
        RecentMessage("devices/bp-1/data", b'{"value":1}', 1, AT),
        RecentMessage("devices/bp-1/data", b"\xff", 0, AT),
    ]
    answer = (await http.get("/messages/devices/bp-1/data?limit=2")).json()
    assert answer == {
        "topic": "devices/bp-1/data",
        "count": 2,
        "messages": [
            {
                "topic": "devices/bp-1/data",
                "payload": '{"value":1}',
                "timestamp": ISO,
                "qos": 1,
                "encoding": "utf-8",
            },
            {
                "topic": "devices/bp-1/data",
                "payload": "/w==",
                "timestamp": ISO,
                "qos": 0,
                "encoding": "base64",
            },
        ],
    }
    assert fakes.messages.calls == [("recent", "devices/bp-1/data", 2)]
    assert fakes.audit.records == [("patient.read", "topic:devices/bp-1/data")]
    await http.get("/messages/a")
    assert fakes.messages.calls[-1] == ("recent", "a", 50)


# --- health ---


async def test_health_is_open_and_503_when_it_is_not_well(
    http: httpx.AsyncClient, fakes: FakeHouse
) -> None:
    del http.headers["Authorization"]
    answer = await http.get("/health")
    body = answer.json()
    assert parse(body.pop("timestamp")) > AT
    assert (answer.status_code, body) == (
        200,
        {"status": "healthy", "service": "mqtt", "connected": True},
    )
    fakes.health.connected = False
    answer = await http.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


async def test_detailed_health_shows_each_part(http: httpx.AsyncClient, fakes: FakeHouse) -> None:
    answer = await http.get("/health/detailed")
    assert answer.json()["components"] == {
        "database": {"status": "ok", "latency_ms": 0.5, "detail": {"url": "sqlite"}}
    }
    fakes.health.connected = False
    assert (await http.get("/health/detailed")).status_code == 503


@pytest.mark.parametrize(
    ("peer", "server", "headers", "status"),
    [
        ("127.0.0.1", "127.0.0.1", {}, 200),
        ("::1", "[::1]", {}, 200),
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": "9.9.9.9"}, 401),
        ("127.0.0.1", "127.0.0.1", {"Forwarded": "for=9.9.9.9"}, 401),
        ("9.9.9.9", "10.0.0.1", {}, 401),
        ("9.9.9.9", "10.0.0.1", {"Authorization": "Bearer good"}, 200),
    ],
)
async def test_metrics_are_open_to_this_machine_only(
    fakes: FakeHouse, peer: str, server: str, headers: dict[str, str], status: int
) -> None:
    transport = httpx.ASGITransport(fakes.web, client=(peer, 4000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{server}") as client:
        answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.text == "fleetwire_up 1\n"
