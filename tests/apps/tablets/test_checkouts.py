"""Lending: who has what, and that nobody has what another has."""

from collections.abc import Sequence
from typing import Any

import pytest

from fleetwire.apps.tablets import checkout_book, checkouts, maintenance
from fleetwire.apps.tablets.checkouts import Lending, Returning
from fleetwire.apps.tablets.rows import row_of
from fleetwire.apps.tablets.web import UnavailableError
from fleetwire.kit import ConflictError, Effect, Event, NotFoundError
from tests.apps.tablets.workshop import AT, SECOND, Workshop, pushed

DAY = 86_400 * SECOND


@pytest.fixture(autouse=True)
def _rows(workshop: Workshop) -> None:
    for code in ("tab-1", "tab-2", "tab-3", "far-1"):
        row_of(workshop.tx, workshop.device(code), AT)


def lend(
    workshop: Workshop, *codes: str, organization_id: int = 1, at: int = AT
) -> tuple[int, list[Effect]]:
    lending = Lending(
        organization_id, "Acme", "17", 2, codes, AT, AT + DAY, "Trade fair", "account:1"
    )
    result = checkouts.lend(workshop.tx, lending, workshop.find, at)
    assert isinstance(result.effects, list)
    return result.value, result.effects


def read(workshop: Workshop, checkout: int) -> dict[str, Any]:
    return checkout_book.read(workshop.tx.connection, 1, checkout)


def give_back(workshop: Workshop, checkout: int, returning: Sequence[Returning]) -> list[Effect]:
    result = checkouts.give_back(
        workshop.tx, 1, checkout, returning, workshop.find, "account:1", AT + DAY
    )
    assert isinstance(result.effects, list)
    return result.effects


def cancel(workshop: Workshop, checkout: int) -> list[Effect]:
    result = checkouts.cancel(
        workshop.tx, 1, checkout, "called off", workshop.find, "account:1", AT + DAY
    )
    assert isinstance(result.effects, list)
    return result.effects


def item_ids(workshop: Workshop, checkout: int) -> list[int]:
    return [each["id"] for each in read(workshop, checkout)["items"]]


def borrow_statuses(workshop: Workshop) -> list[str]:
    return [workshop.row(code).borrow_status for code in ("tab-1", "tab-2", "tab-3")]


def test_lending_takes_the_tablets_and_tells_it(workshop: Workshop) -> None:
    """«`device_borrow_status {borrowStatus AVAILABLE|IN_USE|IN_MAINTENANCE,updatedAt}`»"""
    checkout, effects = lend(workshop, "tab-1", "tab-2")
    assert borrow_statuses(workshop) == ["IN_USE", "IN_USE", "AVAILABLE"]
    told = pushed(effects, "device.borrow_status")
    assert told == [{"borrowStatus": "IN_USE", "updatedAt": "2026-01-31T12:00:00.000Z"}] * 2
    assert [each.device.device_id for each in effects if isinstance(each, Event)] == [
        "tab-1",
        "tab-2",
    ]
    found = read(workshop, checkout)
    assert (found["status"], found["company"], found["charger"]) == ("ACTIVE", "Acme", 2)
    assert [each["deviceCode"] for each in found["items"]] == ["tab-1", "tab-2"]


def test_numbers_count_up_within_a_day(workshop: Workshop) -> None:
    """«number `CHK-YYYYMMDD-NNN`»"""
    numbers = [
        read(workshop, lend(workshop, "tab-1")[0])["number"],
        read(workshop, lend(workshop, "tab-2")[0])["number"],
        read(workshop, lend(workshop, "tab-3", at=AT + DAY)[0])["number"],
    ]
    assert numbers == ["CHK-20260131-001", "CHK-20260131-002", "CHK-20260201-001"]


def test_organisations_count_for_themselves(workshop: Workshop) -> None:
    lend(workshop, "tab-1")
    other, _ = lend(workshop, "far-1", organization_id=2)
    found = checkout_book.read(workshop.tx.connection, 2, other)
    assert found["number"] == "CHK-20260131-001"


def test_a_tablet_that_is_not_available_is_named_and_nothing_is_lent(workshop: Workshop) -> None:
    """«400 with `details[]` if a device is not AVAILABLE»"""
    lend(workshop, "tab-1")
    with pytest.raises(UnavailableError) as caught:
        lend(workshop, "tab-1", "tab-2", "far-1", "nobody")
    assert caught.value.status == 400
    assert [each["deviceId"] for each in caught.value.details] == [
        workshop.device("tab-1").id,
        "far-1",
        "nobody",
    ]
    assert borrow_statuses(workshop) == ["IN_USE", "AVAILABLE", "AVAILABLE"]


def test_a_tablet_is_named_by_key_or_code_and_lent_once(workshop: Workshop) -> None:
    key = str(workshop.device("tab-1").id)
    checkout, effects = lend(workshop, key, "tab-1")
    assert len(read(workshop, checkout)["items"]) == 1
    assert len(effects) == 1


def test_a_partial_return_frees_what_came_back(workshop: Workshop) -> None:
    """«Status ACTIVE, PARTIAL_RETURN, RETURNED, CANCELLED.»"""
    checkout, _ = lend(workshop, "tab-1", "tab-2")
    first, second = item_ids(workshop, checkout)
    effects = give_back(workshop, checkout, [Returning(first)])
    assert [each["borrowStatus"] for each in pushed(effects, "device.borrow_status")] == [
        "AVAILABLE"
    ]
    assert read(workshop, checkout)["status"] == "PARTIAL_RETURN"
    assert borrow_statuses(workshop) == ["AVAILABLE", "IN_USE", "AVAILABLE"]
    give_back(workshop, checkout, [Returning(second)])
    found = read(workshop, checkout)
    assert (found["status"], found["closedAt"]) == ("RETURNED", "2026-02-01T12:00:00.000Z")


def test_a_problem_at_the_return_becomes_the_tablets(workshop: Workshop) -> None:
    """«`{items:[{itemId,problem,solution,maintenanceStatus,returnNotes}]}`»"""
    checkout, _ = lend(workshop, "tab-1")
    [item] = item_ids(workshop, checkout)
    how = Returning(item, "Display cracked", "Replace it", "NEEDS_REPAIR", "Box is missing")
    effects = give_back(workshop, checkout, [how])
    row = workshop.row("tab-1")
    assert (row.problem, row.solution) == ("Display cracked", "Replace it")
    assert (row.maintenance_status, row.borrow_status) == ("NEEDS_REPAIR", "IN_MAINTENANCE")
    assert pushed(effects, "device.borrow_status")[0]["borrowStatus"] == "IN_MAINTENANCE"
    [found] = read(workshop, checkout)["items"]
    assert (found["problem"], found["returnNotes"]) == ("Display cracked", "Box is missing")


def test_a_problem_without_a_word_of_maintenance_is_noted(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1")
    give_back(workshop, checkout, [Returning(item_ids(workshop, checkout)[0], "A scratch")])
    row = workshop.row("tab-1")
    assert (row.maintenance_status, row.borrow_status) == ("HAS_PROBLEM", "AVAILABLE")


def test_nothing_comes_back_twice(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1", "tab-2")
    first, second = item_ids(workshop, checkout)
    give_back(workshop, checkout, [Returning(first)])
    with pytest.raises(UnavailableError) as caught:
        give_back(workshop, checkout, [Returning(first), Returning(second), Returning(999)])
    assert [each["itemId"] for each in caught.value.details] == [first, 999]
    assert borrow_statuses(workshop) == ["AVAILABLE", "IN_USE", "AVAILABLE"]


def test_a_cancelled_checkout_frees_its_tablets(workshop: Workshop) -> None:
    """«`POST /:id/cancel {reason}`»"""
    checkout, _ = lend(workshop, "tab-1", "tab-2")
    cancel(workshop, checkout)
    found = read(workshop, checkout)
    assert (found["status"], found["cancelReason"]) == ("CANCELLED", "called off")
    assert borrow_statuses(workshop) == ["AVAILABLE"] * 3


def test_a_checkout_that_is_over_stays_over(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1")
    cancel(workshop, checkout)
    with pytest.raises(ConflictError):
        cancel(workshop, checkout)
    with pytest.raises(ConflictError):
        give_back(workshop, checkout, [Returning(1)])


def test_a_checkout_of_which_some_came_back_is_not_cancelled(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1", "tab-2")
    give_back(workshop, checkout, [Returning(item_ids(workshop, checkout)[0])])
    with pytest.raises(ConflictError):
        cancel(workshop, checkout)
    assert borrow_statuses(workshop)[1] == "IN_USE"


def test_another_organisations_checkout_does_not_exist(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1")
    with pytest.raises(NotFoundError):
        checkout_book.read(workshop.tx.connection, 2, checkout)
    with pytest.raises(NotFoundError):
        checkouts.cancel(workshop.tx, 2, checkout, None, workshop.find, "account:9", AT)


@pytest.mark.parametrize(
    ("status", "text", "count"),
    [
        (None, None, 2),
        ("ACTIVE", None, 1),
        ("CANCELLED", None, 1),
        ("RETURNED", None, 0),
        (None, "acme", 2),
        (None, "-002", 1),
        (None, "tab-2", 1),
        (None, "%", 0),
        (None, "17", 2),
    ],
)
def test_checkouts_are_found(
    workshop: Workshop, status: str | None, text: str | None, count: int
) -> None:
    """«`GET /?status&search&limit=20&offset` → `{data,total,limit,offset}`»"""
    cancel(workshop, lend(workshop, "tab-1")[0])
    lend(workshop, "tab-2")
    found, total = checkout_book.search(
        workshop.tx.connection, 1, status=status, text=text, limit=1, offset=0
    )
    assert (len(found), total) == (min(1, count), count)


def test_a_tablet_knows_who_had_it(workshop: Workshop) -> None:
    cancel(workshop, lend(workshop, "tab-1")[0])
    lend(workshop, "tab-1", "tab-2")
    tablet = workshop.row("tab-1").id
    found = checkout_book.of_tablet(workshop.tx.connection, tablet, 10, 0)
    assert [each["status"] for each in found] == ["ACTIVE", "CANCELLED"]


@pytest.mark.parametrize(
    ("status", "borrow_status"),
    [
        ("NONE", "AVAILABLE"),
        ("HAS_PROBLEM", "AVAILABLE"),
        ("NEEDS_REPAIR", "IN_MAINTENANCE"),
        ("IN_MAINTENANCE", "IN_MAINTENANCE"),
        ("DAMAGED", "IN_MAINTENANCE"),
    ],
)
def test_maintenance_decides_whether_a_tablet_can_be_lent(
    workshop: Workshop, status: str, borrow_status: str
) -> None:
    """«maintenanceStatus NONE|HAS_PROBLEM|NEEDS_REPAIR|IN_MAINTENANCE|DAMAGED»"""
    change(workshop, status, "broken")
    row = workshop.row("tab-1")
    assert (row.maintenance_status, row.borrow_status) == (status, borrow_status)


def test_who_has_a_tablet_keeps_it_whatever_is_wrong(workshop: Workshop) -> None:
    checkout, _ = lend(workshop, "tab-1")
    assert change(workshop, "DAMAGED", "dropped") == []
    assert workshop.row("tab-1").borrow_status == "IN_USE"
    give_back(workshop, checkout, [Returning(item_ids(workshop, checkout)[0])])
    assert workshop.row("tab-1").borrow_status == "IN_MAINTENANCE"


def test_a_repair_ends_the_problem(workshop: Workshop) -> None:
    change(workshop, "NEEDS_REPAIR", "broken")
    change(workshop, "NONE", None, "glued")
    row = workshop.row("tab-1")
    assert (row.problem, row.solution, row.borrow_status) == (None, "glued", "AVAILABLE")


def change(
    workshop: Workshop, status: str, problem: str | None, solution: str | None = None
) -> list[Effect]:
    return maintenance.change(
        workshop.tx,
        workshop.device("tab-1"),
        workshop.row("tab-1"),
        maintenance_status=status,
        problem=problem,
        solution=solution,
        actor="account:1",
        at=AT,
    )
