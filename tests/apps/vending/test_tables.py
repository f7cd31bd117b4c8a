"""The tables are what the migration makes, under the names that people query."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

from fleetwire.apps.vending.tables import metadata
from tests.apps.vending.conftest import REVISIONS


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
        source = (REVISIONS / "vending_0001_tables.py").read_text()
        revision: dict[str, object] = {}
        exec(compile(source, "vending_0001_tables.py", "exec"), revision)
        with Operations.context(context):
            downgrade = revision["downgrade"]
            assert callable(downgrade)
            downgrade()
        assert not names & set(inspect(connection).get_table_names())
    engine.dispose()


def test_the_tables_have_the_contract_s_names() -> None:
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
