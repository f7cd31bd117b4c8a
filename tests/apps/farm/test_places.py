"""Organisations, areas, sensors, devices: made, listed, changed, removed; and reports of them."""

from sqlalchemy import insert

from fleetwire.apps.farm.tables import data_streams
from fleetwire.kit import Devices, Store, instants
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn


async def test_things_are_wrapped_and_of_one_farm(barn: Barn) -> None:
    """«CRUD, wrapped `data{sensor}` / `data{sensors}` …; `DELETE` 204»"""
    await barn.sensor(uuid="elsewhere")
    south = (await barn.good("POST", "/organizations", {"name": "South"}))["organization"]
    assert (await barn.ask("POST", "/organizations", {"name": "South"})).status_code == 409
    body = {"name": "Bed 4", "organizationId": south["id"], "areaType": "bed"}
    area = (await barn.good("POST", "/areas", body))["area"]
    where = {"organizationId": south["id"], "areaId": area["id"]}
    sensor = (await barn.good("POST", "/sensors", {"name": "Soil", **where}))["sensor"]
    path = f"/sensors?organizationId={south['id']}"
    answer = (await barn.ask("GET", path)).json()
    assert answer["results"] == 1
    assert answer["data"]["sensors"] == [sensor]
    assert (await barn.ask("DELETE", f"/organizations/{south['id']}")).status_code == 409
    assert (await barn.ask("DELETE", f"/sensors/{sensor['id']}")).status_code == 204
    assert (await barn.ask("GET", f"/sensors/{sensor['id']}")).status_code == 404
    assert (await barn.ask("DELETE", f"/organizations/{south['id']}")).status_code == 204
    assert (await barn.ask("GET", f"/areas/{area['id']}")).status_code == 404


async def test_an_area_of_another_farm_is_refused(barn: Barn) -> None:
    area = (await barn.good("POST", "/areas", {"name": "Bed"}))["area"]
    south = (await barn.good("POST", "/organizations", {"name": "South"}))["organization"]
    body = {"name": "Soil", "organizationId": south["id"], "areaId": area["id"]}
    answer = await barn.ask("POST", "/sensors", body)
    assert (answer.status_code, answer.json()["field"]) == (404, "areaId")
    assert (await barn.good("GET", "/sensors"))["sensors"] == []


async def test_a_refused_uuid_leaves_no_row(hub: TestHub, barn: Barn) -> None:
    await barn.sensor(uuid="twice")
    answer = await barn.ask("POST", "/devices", {"name": "Other", "uuid": "twice"})
    assert answer.status_code == 409
    assert (await barn.good("GET", "/devices"))["devices"] == []


async def test_a_change_moves_the_device_to_the_other_farm_s_topics(
    hub: TestHub, barn: Barn
) -> None:
    device = await barn.device("pump-1")
    south = (await barn.good("POST", "/organizations", {"name": "South"}))["organization"]
    path = f"/devices/{device['id']}"
    answer = await barn.ask("GET", path)
    body = {"name": "Pump", "status": "maintenance", "organizationId": south["id"]}
    tag = {"If-Match": answer.headers["etag"]}
    changed = (await barn.good("PATCH", path, body, headers=tag))["device"]
    assert (changed["name"], changed["status"]) == ("Pump", "maintenance")
    assert (await barn.ask("PATCH", path, body, headers=tag)).status_code == 412
    record = await hub.service(Devices).get(hub.caller, "farm", "pump-1")
    assert record.attributes == {"organization_id": south["id"]}
    wrong = await barn.ask("PATCH", path, {"status": "broken"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "status")


async def test_a_list_goes_on_where_it_ended(barn: Barn) -> None:
    for number in range(5):
        await barn.good("POST", "/areas", {"name": f"Bed {number}"})
    names = []
    cursor = None
    while True:
        query = "/areas?limit=2" + (f"&cursor={cursor}" if cursor else "")
        answer = (await barn.ask("GET", query)).json()
        names += [each["name"] for each in answer["data"]["areas"]]
        cursor = answer["nextCursor"]
        if cursor is None:
            break
    assert names == [f"Bed {number}" for number in range(5)]
    assert (await barn.ask("GET", "/areas?cursor=x")).json()["field"] == "cursor"


async def test_a_status_keeps_what_it_does_not_say(hub: TestHub, barn: Barn) -> None:
    """«`{"status":"online","timestamp","token"?,"metadata":{"battery":85,"signal":-45}}`»"""
    made = await barn.device("pump-1")
    device = await barn.connected("pump-1")
    topic = "devices/{device_id}/status"
    first = {"status": "online", "metadata": {"battery": 85, "signal": -45}}
    assert (await device.send(topic, first)).is_stored
    assert (await device.send(topic, {"status": "online", "metadata": {"battery": 0}})).is_stored
    found = (await barn.good("GET", f"/devices/{made['id']}"))["device"]
    assert (found["reportedStatus"], found["reported"]) == ("online", {"battery": 0, "signal": -45})
    for body, field in (
        ({}, "status"),
        ({"status": ""}, "status"),
        ({"status": "ok", "metadata": 1}, "metadata"),
        ({"status": "ok", "timestamp": "x"}, "timestamp"),
    ):
        outcome = await device.send(topic, body)
        assert (outcome.is_stored, outcome.field) == (False, field)


async def test_series_are_read_newest_first_and_in_buckets(barn: Barn) -> None:
    """«`GET /telemetry/:telemetryDataId?from&to&limit&cursor&bucket&agg`»"""
    sensor = await barn.sensor("level")
    device = await barn.connected("s-1")
    many = [
        {"value": number, "recievedAt": f"2026-01-31T12:{number:02}:00Z"} for number in range(10)
    ]
    await device.send("devices/s-1/datastream", {"dataStreams": many})
    path = f"/datastreams/telemetry/{sensor['level']}"
    answer = (await barn.ask("GET", f"{path}?limit=4")).json()
    assert [each["value"] for each in answer["data"]["dataStreams"]] == [9, 8, 7, 6]
    rest = await barn.good("GET", f"{path}?limit=4&cursor={answer['nextCursor']}")
    assert [each["value"] for each in rest["dataStreams"]] == [5, 4, 3, 2]
    span = "from=2026-01-31T12:02:00Z&to=2026-01-31T12:04:00Z"
    found = await barn.good("GET", f"{path}?{span}")
    assert [each["value"] for each in found["dataStreams"]] == [3, 2]
    buckets = (await barn.good("GET", f"{path}?bucket=5m&agg=max"))["buckets"]
    assert [(each["max"], each["count"]) for each in buckets] == [(9, 5), (4, 5)]
    assert buckets[0]["bucket"] == "2026-01-31T12:05:00.000Z"
    for query in ("bucket=5x", "agg=median", "from=x", "limit=0"):
        assert (await barn.ask("GET", f"{path}?{query}")).status_code == 400


async def test_a_value_is_corrected_and_removed(barn: Barn) -> None:
    sensor = await barn.sensor("level")
    body = {"value": 1, "telemetryDataId": sensor["level"]}
    made = await barn.good("POST", "/datastreams", body)
    path = f"/datastreams/{made['id']}"
    changed = (await barn.good("PATCH", path, {"value": False}))["dataStream"]
    assert changed["value"] is False
    assert (await barn.good("GET", path))["dataStream"] == changed
    assert (await barn.ask("DELETE", path)).status_code == 204
    assert (await barn.ask("GET", path)).status_code == 404


async def test_reports_are_pages_of_figures(hub: TestHub, barn: Barn) -> None:
    """«`/reports/{device-status,sensor-telemetry,organization-hierarchy,area-utilization,rule-chain-execution,sensor-anomaly}?organizationId&page&limit`»"""
    area = (await barn.good("POST", "/areas", {"name": "Bed"}))["area"]
    sensor = await barn.sensor("level", areaId=area["id"])
    for number in range(3):
        await barn.device(f"pump-{number}")
    at = instants.now() - 3_600_000_000
    values = [*(10.0 + number % 2 for number in range(30)), 99.0]
    rows = [
        {
            "tenant_id": 1,
            "telemetry_data_id": sensor["level"],
            "value": value,
            "number": value,
            "received_at": at + number,
            "created_at": at,
        }
        for number, value in enumerate(values)
    ]
    await hub.service(Store).write(lambda tx: tx.execute(insert(data_streams), rows))
    first = (await barn.ask("GET", "/reports/device-status?limit=2")).json()
    second = (await barn.ask("GET", "/reports/device-status?limit=2&page=2")).json()
    uuids = [each["uuid"] for each in (*first["data"]["report"], *second["data"]["report"])]
    assert uuids == ["pump-0", "pump-1", "pump-2"]
    assert (first["total"], second["page"]) == (3, 2)
    [figures] = (await barn.good("GET", "/reports/sensor-telemetry"))["report"]
    assert (figures["count"], figures["min"], figures["max"]) == (31, 10.0, 99.0)
    [farm] = (await barn.good("GET", "/reports/organization-hierarchy"))["report"]
    assert (farm["sensors"], farm["devices"], farm["areas"][0]["sensors"]) == (1, 3, 1)
    [used] = (await barn.good("GET", "/reports/area-utilization"))["report"]
    assert (used["valuesOfADay"], used["inUse"]) == (31, True)
    [anomaly] = (await barn.good("GET", "/reports/sensor-anomaly"))["report"]
    assert (anomaly["value"], anomaly["sensorUuid"]) == (99.0, "s-1")
    runs = (await barn.ask("GET", "/reports/rule-chain-execution")).json()
    assert (runs["results"], runs["total"]) == (0, 0)
    for kind in ("device-status", "sensor-telemetry", "organization-hierarchy", "sensor-anomaly"):
        elsewhere = await barn.good("GET", f"/reports/{kind}?organizationId=9999")
        assert elsewhere["report"] == []
