"""The audit as a file, and its verification over HTTP; reads that an app puts on record."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from fastapi import APIRouter

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.audit.endpoints import router
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit import Asks, Audit, reads
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

PATH = "/api/v1/audit"


async def test_an_export_holds_every_record_oldest_first(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.audit.service.EXPORTED", 3)
    audit = SqlAudit(rooms.db, rooms.clock)
    for number in range(7):
        await audit.record(caller(), f"deed.{number}", detail={"n": number})
    await audit.record(caller(2), "other")
    async with serving([router], {SqlAudit: audit}) as http:
        answer = await http.get(f"{PATH}/export")
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert 'filename="audit.ndjson"' in answer.headers["content-disposition"]
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["action"] for line in lines] == [f"deed.{n}" for n in range(7)]
        assert [line["previous"] for line in lines[1:]] == [line["digest"] for line in lines[:-1]]
        some = await http.get(f"{PATH}/export", params={"action": "deed.3"})
        assert len(some.text.splitlines()) == 1
    (taken, first) = (await audit.list(caller(), action="audit.exported")).items
    assert (first.detail, taken.detail) == ({}, {"action": "deed.3"})


async def test_a_csv_gives_a_spreadsheet_no_formulas(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    by = msgspec.structs.replace(caller(), remote="192.0.2.1")
    await audit.record(by, "mqtt.refused", '=HYPERLINK("x")', detail={"a": 'say "hi", ü'})
    async with serving([router], {SqlAudit: audit}) as http:
        answer = await http.get(f"{PATH}/export", params={"format": "csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["subject"] == '\'=HYPERLINK("x")'
    assert json.loads(row["detail"]) == {"a": 'say "hi", ü'}
    assert (row["remote"], row["outcome"]) == ("192.0.2.1", "ok")


async def test_the_chain_is_verified_over_http(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    await audit.record(caller(), "deed")
    async with serving([router], {SqlAudit: audit}) as http:
        found = (await http.get(f"{PATH}/verify")).json()
        assert (found["holds"], found["own"]["rows"], found["known"]) == (True, 1, None)
        kept = await http.get(f"{PATH}/verify", params={"known": found["own"]["head"]})
        assert (kept.json()["holds"], kept.json()["known"]) == (True, True)
        other = await http.get(f"{PATH}/verify", params={"known": "0" * 64})
        assert (other.json()["holds"], other.json()["known"]) == (False, False)
        assert (await http.get(f"{PATH}/verify", params={"known": "x"})).status_code == 422
        await rooms.db.write(
            lambda tx: tx.execute_plain("UPDATE audit SET at = 9223372036854775807", ())
        )
        broken = (await http.get(f"{PATH}/verify")).json()["own"]["broken"]
        assert (broken["id"], broken["at"]) == (1, "")


async def test_a_route_puts_on_record_who_reads_before_he_does(rooms: Rooms) -> None:
    own = APIRouter()
    shown: list[str] = []

    @own.get("/patients/{id}", dependencies=[reads("patient.read", "patient:{id}/{part}")])
    async def read(id: str, caller: Asks) -> dict[str, Any]:
        shown.append(id)
        return {}

    audit = SqlAudit(rooms.db, rooms.clock)
    async with serving([own], {Audit: audit}) as http:
        assert (await http.get("/patients/7", params={"part": "heart"})).status_code == 200
        (record,) = (await audit.list(caller())).items
        assert (record.actor, record.action) == ("account:1", "patient.read")
        assert record.subject == "patient:7/heart"
        assert record.detail == {"path": "/patients/7"}
        rooms.db.is_away = True
        with pytest.raises(StoreUnavailableError):
            await http.get("/patients/8")
    assert shown == ["7"]
