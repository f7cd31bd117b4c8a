"""Jobs say how far work is, and say it truly after a restart."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
)
from fleetwire.features.devices.bulk import BulkImport
from fleetwire.features.devices.bulk_endpoints import router as imports
from fleetwire.features.jobs import service as module
from fleetwire.features.jobs.endpoints import router
from fleetwire.features.jobs.service import JobService
from fleetwire.kit.jobs import Job
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms


@pytest.fixture
def jobs(rooms: Rooms) -> JobService:
    return JobService(rooms.db, rooms.clock)


@pytest.fixture
async def http(rooms: Rooms, jobs: JobService) -> AsyncIterator[httpx.AsyncClient]:
    services = {JobService: jobs, BulkImport: BulkImport(rooms.devices, rooms.areas)}
    async with serving([router, imports], services) as client:
        yield client


async def begin(jobs: JobService, total: int | None = 3, *, organization_id: int = 1) -> Job:
    return await jobs.begin(
        caller(organization_id), "device.import", total=total, read="device.read",
        write="device.write",
    )  # fmt: skip


async def test_portions_add_up_and_the_last_one_ends_it(jobs: JobService, rooms: Rooms) -> None:
    job = await begin(jobs)
    assert (job.state, job.done, job.counts, job.created_by) == ("running", 0, {}, "account:1")
    rooms.clock.advance(1)
    await jobs.advance(job.id, 2, {"created": 1, "refused": 1})
    found = await jobs.get(caller(), job.id)
    assert (found.state, found.done, found.ended_at) == ("running", 2, None)
    assert found.updated_at == job.created_at + 1_000_000
    ended = await jobs.advance(job.id, 1, {"created": 1})
    assert (ended.state, ended.done, ended.counts) == ("succeeded", 3, {"created": 2, "refused": 1})
    assert ended.ended_at == rooms.clock.at
    with pytest.raises(ConflictError, match="it is succeeded"):
        await jobs.advance(job.id, 1, {})


async def test_a_portion_that_does_not_fit_is_refused_before_it_is_carried_out(
    jobs: JobService,
) -> None:
    job = await begin(jobs)
    await jobs.check(caller(), job.id, "device.import", 3)
    with pytest.raises(InvalidValueError, match="has 3 left, not 4"):
        await jobs.check(caller(), job.id, "device.import", 4)
    with pytest.raises(InvalidValueError, match="of the kind"):
        await jobs.check(caller(), job.id, "quarantine.rerun", 1)
    with pytest.raises(NotFoundError):
        await jobs.check(caller(2), job.id, "device.import", 1)
    reader = caller(permissions=frozenset({"device.read"}))
    with pytest.raises(ForbiddenError):
        await jobs.check(reader, job.id, "device.import", 1)


async def test_what_ran_when_the_server_ended_is_interrupted_and_can_go_on(
    jobs: JobService, rooms: Rooms
) -> None:
    cut, done = await begin(jobs), await begin(jobs)
    await jobs.advance(cut.id, 1, {"created": 1})
    await jobs.end(done.id)
    after = JobService(rooms.db, rooms.clock)
    await after.load()
    found = await after.get(caller(), cut.id)
    assert (found.state, found.error, found.done) == ("interrupted", module.CUT_OFF, 1)
    assert (await after.get(caller(), done.id)).state == "succeeded"
    went_on = await after.advance(cut.id, 1, {"created": 1})
    assert (went_on.state, went_on.error, went_on.done) == ("running", None, 2)


async def test_what_is_left_alone_is_interrupted_and_what_is_old_forgotten(
    jobs: JobService, rooms: Rooms
) -> None:
    left = await begin(jobs)
    rooms.clock.advance(module.SILENT_S - 1)
    await jobs.tidy()
    assert (await jobs.get(caller(), left.id)).state == "running"
    rooms.clock.advance(1)
    await jobs.tidy()
    assert (await jobs.get(caller(), left.id)).state == "interrupted"
    rooms.clock.advance(module.KEPT_DAYS * 86400)
    running = await begin(jobs)
    await jobs.tidy()
    assert [job.id for job in (await jobs.list(caller())).items] == [running.id]


async def test_a_cancelled_job_takes_no_more_and_does_not_fail_or_succeed(
    jobs: JobService,
) -> None:
    job = await begin(jobs)
    await jobs.advance(job.id, 1, {"created": 1})
    with pytest.raises(ForbiddenError):
        await jobs.cancel(caller(permissions=frozenset({"device.read"})), job.id)
    stopped = await jobs.cancel(caller(), job.id)
    assert (stopped.state, stopped.done, stopped.error) == (
        "cancelled", 1, "Cancelled by account:1.",
    )  # fmt: skip
    with pytest.raises(ConflictError):
        await jobs.advance(job.id, 1, {})
    with pytest.raises(ConflictError):
        await jobs.cancel(caller(), job.id)
    await jobs.end(job.id, "too late")
    assert (await jobs.get(caller(), job.id)).state == "cancelled"


async def test_how_it_failed_is_kept(jobs: JobService) -> None:
    job = await begin(jobs, None)
    await jobs.advance(job.id, 5, {"accepted": 5})
    await jobs.end(job.id, "x" * 1000)
    found = await jobs.get(caller(), job.id)
    assert (found.state, found.total, found.done) == ("failed", None, 5)
    assert found.error == "x" * module.MAX_ERROR_CHARS


async def test_jobs_are_listed_newest_first_for_who_may_see_them(jobs: JobService) -> None:
    made = [await begin(jobs) for _ in range(3)]
    theirs = await begin(jobs, organization_id=2)
    rerun = await jobs.begin(
        caller(), "quarantine.rerun", total=None, read="quarantine.read", write="quarantine.write"
    )
    first = await jobs.list(caller(), limit=2)
    rest = await jobs.list(caller(), limit=2, cursor=first.next_cursor)
    listed = [job.id for job in [*first.items, *rest.items]]
    assert listed == [rerun.id, *[job.id for job in made[::-1]]]
    assert rest.next_cursor is None
    reader = caller(permissions=frozenset({"device.read"}))
    assert rerun.id not in [job.id for job in (await jobs.list(reader)).items]
    assert [job.id for job in (await jobs.list(caller(2))).items] == [theirs.id]
    await jobs.end(made[0].id)
    ended = await jobs.list(caller(), kind="device.import", state="succeeded")
    assert [job.id for job in ended.items] == [made[0].id]
    with pytest.raises(InvalidValueError):
        await jobs.list(caller(), state="lost")
    with pytest.raises(ForbiddenError):
        await jobs.get(caller(permissions=frozenset()), made[0].id)
    with pytest.raises(NotFoundError):
        await jobs.get(caller(2), made[0].id)


async def test_no_more_run_at_once_than_an_organisation_may_have(
    jobs: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RUNNING", 2)
    first = await begin(jobs)
    await begin(jobs)
    with pytest.raises(TooManyError):
        await begin(jobs)
    await begin(jobs, organization_id=2)
    await jobs.end(first.id)
    await begin(jobs)


async def test_an_import_advances_its_job(http: httpx.AsyncClient) -> None:
    begun = await http.post("/api/v1/jobs", json={"kind": "device.import", "total": 3})
    assert begun.status_code == 201
    id = begun.json()["id"]
    lines = [{"app": "demo", "device_id": name, "type": "meter"} for name in ("a", "b", "a/b")]
    path = "/api/v1/device-imports"
    dry = await http.post(path, json={"devices": lines}, params={"job": id, "dry_run": "true"})
    assert (dry.status_code, dry.json()["field"]) == (422, "job")
    assert (await http.post(path, json={"devices": lines[:2]}, params={"job": id})).is_success
    assert (await http.get(f"/api/v1/jobs/{id}")).json()["done"] == 2
    long = await http.post(path, json={"devices": lines[1:]}, params={"job": id})
    assert (long.status_code, long.json()["field"]) == (422, "job")
    assert (await http.post(path, json={"devices": lines[2:]}, params={"job": id})).is_success
    job = (await http.get(f"/api/v1/jobs/{id}")).json()
    assert (job["state"], job["counts"]) == ("succeeded", {"created": 2, "refused": 1})
    again = await http.post(path, json={"devices": lines[:1]}, params={"job": id})
    assert again.status_code == 409
    assert (await http.post(f"/api/v1/jobs/{id}/cancel")).status_code == 409
    listed = (await http.get("/api/v1/jobs", params={"state": "succeeded"})).json()
    assert [each["id"] for each in listed["items"]] == [id]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "anything", "total": 1},
        {"kind": "device.import"},
        {"kind": "device.import", "total": 0},
        {"kind": "device.import", "total": 1, "state": "succeeded"},
    ],
)
async def test_a_job_out_of_form_is_refused(http: httpx.AsyncClient, body: object) -> None:
    assert (await http.post("/api/v1/jobs", json=body)).status_code == 422
