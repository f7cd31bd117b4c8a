"""Quarantine and alarms over HTTP."""

from fleetwire.features.alarms.endpoints import router as alarms_router
from fleetwire.features.alarms.service import AlarmService
from fleetwire.features.alarms.sinks import AlarmSink
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.quarantine.endpoints import router
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.kit import Alarm
from tests.fakes import accepted, refused
from tests.features.http import serving
from tests.features.rooms import Rooms


async def test_a_refused_message_is_listed_read_and_discarded(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    await rooms.db.write(lambda tx: sink.write(tx, [refused(b"\xff")]))
    services = {QuarantineService: QuarantineService(rooms.db, sink, SqlAudit(rooms.db))}
    async with serving([router], services) as http:
        path = "/api/v1/quarantine"
        (listed,) = (await http.get(path, params={"topic": "data"})).json()["items"]
        assert (listed["payload"], listed["encoding"]) == ("/w==", "base64")
        assert listed["received_at"] == "1970-01-01T00:00:01.000Z"
        assert (await http.get(f"{path}/{listed['id']}")).json() == listed
        stranger = {"Organization": "2"}
        assert (await http.get(f"{path}/1", headers=stranger)).status_code == 404
        assert (await http.delete(f"{path}/1")).status_code == 204
        assert (await http.get(f"{path}/1")).status_code == 404
        bad = await http.get(path, params={"cursor": "x"})
        assert (bad.status_code, bad.json()["field"]) == (422, "cursor")


async def test_alarms_are_listed(rooms: Rooms) -> None:
    await rooms.register("d")
    items = accepted(Alarm(rooms.device(), "out_of_range", "too high"))
    sink = AlarmSink()
    await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))
    async with serving([alarms_router], {AlarmService: AlarmService(rooms.db)}) as http:
        (alarm,) = (await http.get("/api/v1/alarms", params={"device_id": "d"})).json()["items"]
        assert (alarm["name"], alarm["device_id"]) == ("out_of_range", "d")
        assert alarm["raised_at"] == "1970-01-01T00:00:01.000Z"
        assert (await http.get("/api/v1/alarms", params={"severity": "mild"})).status_code == 422
