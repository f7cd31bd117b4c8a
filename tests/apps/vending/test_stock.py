"""Stock: what people do at the slots, and the products in them."""

import pytest

from tests.apps.vending.field import Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def update(field: Field, **body: object) -> tuple[int, dict[str, object]]:
    answer = await field.operator.post("/api/stock/update", json={"slot_id": 1, **body})
    return answer.status_code, answer.json()


async def test_the_stock_of_a_machine(field: Field) -> None:
    """«`GET /stock/:machine_id` →
    `{machine_id,summary{total_slots,empty_slots,low_stock_slots,active_slots},slots[{slot_id,slot_number,current_stock»
    """
    await update(field, quantity=2, change_type="AUDIT")
    answer = await field.operator.get("/api/stock/VM01")
    found = answer.json()
    assert found["machine_id"] == "VM01"
    assert found["summary"] == {
        "total_slots": 6, "empty_slots": 0, "low_stock_slots": 1, "active_slots": 6,
    }  # fmt: skip
    slot = found["slots"][0]
    assert {
        "slot_id", "slot_number", "current_stock", "capacity", "is_active", "product_id",
        "product_name", "image_url", "stock_percentage", "stock_level",
    } <= set(slot)  # fmt: skip
    assert (slot["current_stock"], slot["stock_percentage"], slot["stock_level"]) == (2, 20, "LOW")


@pytest.mark.parametrize(
    ("change_type", "quantity", "after"),
    [("REMOVE", 3, 7), ("MANUAL_ADJUST", 4, 4), ("AUDIT", 0, 0)],
)
async def test_what_each_change_means(
    field: Field, change_type: str, quantity: int, after: int
) -> None:
    """«`POST /stock/update {slot_id,quantity,change_type
    RESTOCK|MANUAL_ADJUST|AUDIT|REMOVE,reason≤200,expected_current_stock?,performed_by?}`»
    «`GET /stock/logs/:machine_id`;»
    """
    status, said = await update(field, quantity=quantity, change_type=change_type, reason="test")
    assert (status, said["current_stock"], said["is_duplicate"]) == (200, after, False)
    assert (await field.stock())[0] == after
    answer = await field.operator.get("/api/stock/logs/VM01")
    (line,) = answer.json()["logs"]
    assert (line["change_type"], line["quantity_after"]) == (change_type, after)
    assert (line["reason"], line["performed_by"]) == ("test", "account:1")


async def test_a_restock_adds(field: Field) -> None:
    await update(field, quantity=4, change_type="AUDIT")
    status, said = await update(field, quantity=5, change_type="RESTOCK", performed_by="Budi")
    assert (status, said["current_stock"]) == (200, 9)
    assert (
        await field.one("SELECT performed_by FROM stock_logs WHERE change_type = 'RESTOCK'")
        == "account:1 (Budi)"
    )


async def test_more_than_the_slot_holds_is_refused(field: Field) -> None:
    status, said = await update(field, quantity=1, change_type="RESTOCK")
    assert (status, said["capacity"]) == (400, 10)
    status, _ = await update(field, quantity=11, change_type="REMOVE")
    assert status == 400


async def test_a_stale_value_is_409(field: Field) -> None:
    """«(409 `{error,message,current_stock}` on a stale value;»"""
    status, said = await update(field, quantity=5, change_type="AUDIT", expected_current_stock=9)
    assert status == 409
    assert said["current_stock"] == 10
    assert said["error"]
    assert said["message"]
    assert (await field.stock())[0] == 10


async def test_the_same_within_five_seconds_is_done_once(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """«the same within 5 s → `is_duplicate:true`);»"""
    await update(field, quantity=2, change_type="REMOVE", expected_current_stock=10)
    _, said = await update(field, quantity=2, change_type="REMOVE", expected_current_stock=10)
    assert (said["is_duplicate"], said["current_stock"]) == (True, 8)
    _, said = await update(field, quantity=3, change_type="REMOVE")
    assert (said["is_duplicate"], said["current_stock"]) == (False, 5)


async def test_counting_settles_what_nobody_knew(field: Field) -> None:
    await field.operator.post("/api/dispense/trigger", json={"order_id": "test-order-123"})
    await field.sent()
    await field.pass_time(60)
    assert await field.stock() == (10, 1)
    await update(field, quantity=9, change_type="AUDIT")
    assert await field.stock() == (9, 0)


async def test_a_report_of_levels_over_http(field: Field) -> None:
    """«`POST /stock/report/:machine_id`.»"""
    answer = await field.operator.post(
        "/api/stock/report/VM01", json={"slots": [{"slot_number": 1, "level": "HIGH"}]}
    )
    assert answer.status_code == 200
    assert answer.json()["slots"][0]["reported_level"] == "HIGH"


async def test_products_are_read_by_anybody(field: Field) -> None:
    """«`GET /products`, `/products/all`, `/products/available?machine_id` →
    `{success,data:[{id,name,description,price,image_url,category,is_active,slot_id»
    """
    answer = await field.kiosk.get("/api/products/available?machine_id=VM01")
    found = answer.json()
    assert (found["success"], found["count"]) == (True, 6)
    assert found["data"] == found["products"]
    assert {
        "id", "name", "description", "price", "image_url", "category", "is_active", "slot_id",
        "slot_number", "current_stock", "final_price",
    } <= set(found["data"][0])  # fmt: skip
    assert (await field.kiosk.get("/api/products/available?machine_id=x")).status_code == 404


async def test_what_is_sold_out_is_not_available(field: Field) -> None:
    await update(field, quantity=1, change_type="AUDIT")  # which the paid order has
    found = (await field.kiosk.get("/api/products/available?machine_id=VM01")).json()
    assert [each["slot_number"] for each in found["data"]] == [2, 3, 4, 5, 6]
    assert (await field.kiosk.get("/api/products?machine_id=VM01")).json()["count"] == 6


async def test_a_product_is_made_changed_and_removed(field: Field) -> None:
    """«`POST/PUT/DELETE /products/:id`.»"""
    answer = await field.operator.post("/api/products", json={"name": "Gum", "price": 3000})
    assert answer.status_code == 201
    id = answer.json()["data"]["id"]
    answer = await field.operator.put(
        f"/api/products/{id}", json={"price": 3500, "is_active": False}
    )
    assert (answer.json()["data"]["price"], answer.json()["data"]["name"]) == (3500, "Gum")
    names = [p["name"] for p in (await field.kiosk.get("/api/products")).json()["data"]]
    assert "Gum" not in names
    names = [p["name"] for p in (await field.kiosk.get("/api/products/all")).json()["data"]]
    assert "Gum" in names
    assert (await field.operator.delete(f"/api/products/{id}")).status_code == 200
    assert (await field.operator.delete(f"/api/products/{id}")).status_code == 404


async def test_a_slot_s_own_price_goes_before_the_product_s(field: Field) -> None:
    await field.operator.post(
        "/api/machines/VM01/slots/assign",
        json={"slot_id": 2, "product_id": 2, "price_override": 6500},
    )
    found = (await field.kiosk.get("/api/products?machine_id=VM01")).json()["data"][1]
    assert (found["price"], found["final_price"]) == (7000, 6500)
    assert await field.total(await field.order(2)) == 6500


@pytest.mark.parametrize(("length", "expected"), [(200, 200), (201, 400)])
async def test_a_reason_has_at_most_200_characters(
    field: Field, length: int, expected: int
) -> None:
    body = {"slot_id": 1, "quantity": 9, "change_type": "AUDIT", "reason": "x" * length}
    answer = await field.operator.post("/api/stock/update", json=body)
    assert answer.status_code == expected
