"""The tables are what the migration makes, under the names that people query."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Integer, create_engine, inspect, text

from fleetwire.apps.vending.tables import metadata
from tests.apps.vending.conftest import REVISIONS

REVISION_FILES = ("vending_0001_tables.py", "vending_0002_quantities.py")


def run(name: str, direction: str) -> None:
    """Run a revision within the present context of Operations."""
    revision: dict[str, object] = {}
    exec(compile((REVISIONS / name).read_text(), name, "exec"), revision)
    function = revision[direction]
    assert callable(function)
    function()


def test_orders_of_an_older_database_keep_what_is_known_of_them(tmp_path: Path) -> None:
    def rows(statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.execute(text(statement))]

    engine = create_engine(f"sqlite:///{tmp_path / 'older.db'}")
    items = "SELECT id, reserved_quantity, dispensed_quantity FROM order_items ORDER BY id"
    logs = "SELECT id, quantity, dispensed_quantity, stock_taken FROM dispense_logs ORDER BY id"
    with (
        engine.begin() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        run(REVISION_FILES[0], "upgrade")
        for id, status, is_reserved in (
            (1, "COMPLETED", 0),
            (2, "FAILED", 0),
            (3, "FAILED", 1),  # nobody knows
            (4, "FAILED", 0),  # nobody knew, and then somebody has counted
        ):
            connection.execute(
                text(
                    "INSERT INTO order_items (id, order_id, item_index, slot_id, slot_number, "
                    "product_name, quantity, unit_price, total_price, dispense_status, "
                    f"is_reserved) VALUES ({id}, 'o', {id}, {id}, {id}, 'x', 3, 10, 30, "
                    f"'{status}', {is_reserved})"
                )
            )
            result_at = "5" if id < 3 else "NULL"
            connection.execute(
                text(
                    "INSERT INTO dispense_logs (id, order_id, item_id, machine_id, "
                    "slot_number, command_id, triggered_by, timeout_ms, deadline_at, "
                    "created_at, command_sent_at, completed_at, success, retry_count, "
                    "result_at, stock_taken) VALUES "
                    f"({id}, 'o', {id}, 'VM01', {id}, 'c{id}', 'x', 1, 1, 1, 2, 3, "
                    f"{int(status == 'COMPLETED')}, 0, {result_at}, 0)"
                )
            )
        run(REVISION_FILES[1], "upgrade")
        assert rows(items) == [(1, 0, 3), (2, 0, 0), (3, 3, 0), (4, 0, 0)]
        assert rows(logs) == [(1, 3, 3, 1), (2, 3, 0, 1), (3, 3, None, 0), (4, 3, None, 1)]
        run(REVISION_FILES[1], "downgrade")
        assert rows("SELECT is_reserved FROM order_items ORDER BY id") == [(0,), (0,), (1,), (0,)]
    engine.dispose()


def test_the_migration_makes_the_tables_and_takes_them_away(
    prepared_database: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.db"
    path.write_bytes(prepared_database.read_bytes())
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        names = set(metadata.tables)
        differences = [
            each
            for each in compare_metadata(context, metadata)
            if isinstance(each, list) or each[0] not in ("remove_table", "remove_index")
        ]
        assert differences == []
        with Operations.context(context):
            for name in reversed(REVISION_FILES):
                run(name, "downgrade")
        assert not names & set(inspect(connection).get_table_names())
    engine.dispose()


def test_the_tables_have_the_contract_s_names() -> None:
    """«`machines, products,
    slots(machine_id,slot_number,product_id,capacity,current_stock,price_override,motor_duration_ms,is_active),
    orders(id,machine_id»
    """
    columns = {name: set(table.columns.keys()) for name, table in metadata.tables.items()}
    assert {
        "machine_id", "slot_number", "product_id", "capacity", "current_stock", "price_override",
        "motor_duration_ms", "is_active",
    } <= columns["slots"]  # fmt: skip
    assert {"id", "machine_id", "status", "paid_at", "dispensed_at", "expires_at"} <= columns[
        "orders"
    ]
    assert "dispense_status" in columns["order_items"]
    assert {
        "order_id", "gateway_transaction_id", "gateway_name", "amount", "status", "raw_response",
        "processed_at",
    } <= columns["payments"]  # fmt: skip
    assert {
        "order_id", "machine_id", "slot_number", "command_sent_at", "started_at", "completed_at",
        "duration_ms", "success", "drop_detected", "error_message", "retry_count",
    } <= columns["dispense_logs"]  # fmt: skip
    assert {
        "change_type", "quantity_before", "quantity_after", "quantity_change", "reason",
        "performed_by", "created_at",
    } <= columns["stock_logs"]  # fmt: skip
    assert {"machines", "products"} <= set(columns)


def test_money_is_never_a_float() -> None:
    """«Money is an integer of the smallest unit or a decimal, never a float.»"""
    money = {
        (table.name, column.name): column.type
        for table in metadata.sorted_tables
        for column in table.columns
        if any(word in column.name for word in ("price", "amount"))
    }
    assert len(money) == 7
    assert all(isinstance(type_, Integer) for type_ in money.values()), money
