"""The audit over HTTP."""

import msgspec

from fleetwire.features.audit.endpoints import router
from fleetwire.features.audit.service import SqlAudit
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

PATH = "/api/v1/audit"


async def test_deeds_are_listed_newest_first_page_by_page(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    rooms.clock.at = 1_000_000
    by = msgspec.structs.replace(caller(), remote="192.0.2.1")
    await audit.record(by, "device.registered", "device:demo/d", detail={"type": "thing"})
    await audit.record(by, "device.deleted", "device:demo/d", outcome="refused")
    await audit.record(caller(2), "device.deleted", "device:demo/e")
    async with serving([router], {SqlAudit: audit}) as http:
        first = (await http.get(PATH, params={"limit": 1})).json()
        assert [each["action"] for each in first["items"]] == ["device.deleted"]
        rest = await http.get(PATH, params={"cursor": first["next_cursor"]})
        (shown,) = rest.json()["items"]
        assert shown["previous"] == ""
        assert shown["digest"] == first["items"][0]["previous"]
        assert rest.json() == {
            "items": [
                {
                    "id": 1,
                    "at": "1970-01-01T00:00:01.000Z",
                    "actor": "account:1",
                    "action": "device.registered",
                    "subject": "device:demo/d",
                    "outcome": "ok",
                    "remote": "192.0.2.1",
                    "detail": {"type": "thing"},
                    "previous": "",
                    "digest": shown["digest"],
                }
            ],
            "next_cursor": None,
        }


async def test_every_condition_reaches_the_list(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    rooms.clock.at = 10_000_000
    await audit.record(caller(), "patient.read", "patient:1")
    async with serving([router], {SqlAudit: audit}) as http:
        for fitting, other in (
            ({"actor": "account:1"}, {"actor": "account:2"}),
            ({"action": "patient.read"}, {"action": "patient"}),
            ({"subject": "patient:1"}, {"subject": "patient:2"}),
            ({"outcome": "ok"}, {"outcome": "refused"}),
            ({"from": "1970-01-01T00:00:10Z"}, {"from": "1970-01-01T00:00:11Z"}),
            ({"to": "11"}, {"to": "10"}),
        ):
            assert len((await http.get(PATH, params=fitting)).json()["items"]) == 1, fitting
            assert len((await http.get(PATH, params=other)).json()["items"]) == 0, other


async def test_a_condition_that_cannot_be_is_refused_by_name(rooms: Rooms) -> None:
    async with serving([router], {SqlAudit: SqlAudit(rooms.db)}) as http:
        for field, value in (("from", "yesterday"), ("to", "soon"), ("cursor", "x")):
            answer = await http.get(PATH, params={field: value})
            assert (answer.status_code, answer.json()["field"]) == (422, field)
        for field, value in (("outcome", "maybe"), ("limit", "0"), ("limit", "1001")):
            answer = await http.get(PATH, params={field: value})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["query", field]
