"""The tables of tablet fleets.

Revision ID: tablets_0001
"""

import sqlalchemy as sa
from alembic import op

revision = "tablets_0001"
down_revision = None
branch_labels = ("tablets",)
depends_on = "0001_first"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def _of_tablet(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tablet", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tablet"], ["tablets.id"], name=f"fk_{table}_tablet", ondelete="CASCADE"
        ),
    )


def upgrade() -> None:
    op.create_table(
        "tablets",
        sa.Column("id", _KEY, nullable=False, autoincrement=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_reason", sa.String(64), nullable=False),
        sa.Column("status_since_at", _INSTANT),
        sa.Column("last_seen_at", _INSTANT),
        sa.Column("battery", sa.Integer),
        sa.Column("wifi_status", sa.Boolean),
        sa.Column("uptime_ms", sa.BigInteger),
        sa.Column("is_charging", sa.Boolean),
        sa.Column("battery_health", sa.String(16)),
        sa.Column("charging_method", sa.String(16)),
        sa.Column("mobile_data_enabled", sa.Boolean),
        sa.Column("network_connected", sa.Boolean),
        sa.Column("screen_on", sa.Boolean),
        sa.Column("volume_level", sa.Integer),
        sa.Column("bluetooth_enabled", sa.Boolean),
        sa.Column("installed_apps_count", sa.Integer),
        sa.Column("boot_time_ms", sa.BigInteger),
        sa.Column("kiosk_mode", sa.Boolean, nullable=False),
        sa.Column("latitude", sa.Double),
        sa.Column("longitude", sa.Double),
        sa.Column("accuracy_m", sa.Double),
        sa.Column("speed", sa.Double),
        sa.Column("heading", sa.Double),
        sa.Column("located_at", _INSTANT),
        sa.Column("borrow_status", sa.String(16), nullable=False),
        sa.Column("maintenance_status", sa.String(16), nullable=False),
        sa.Column("problem", sa.String(1000)),
        sa.Column("solution", sa.String(1000)),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tablets"),
        # A device that is removed, by whichever way, takes its tablet along.
        sa.ForeignKeyConstraint(["id"], ["devices.id"], name="fk_tablets_id", ondelete="CASCADE"),
    )
    op.create_index("ix_tablets_organization_id", "tablets", ["organization_id", "id"])
    op.create_index("ix_tablets_status", "tablets", ["status", "last_seen_at"])
    op.create_table(
        "tablet_locations",
        sa.Column("id", _KEY, nullable=False),
        *_of_tablet("tablet_locations"),
        sa.Column("latitude", sa.Double, nullable=False),
        sa.Column("longitude", sa.Double, nullable=False),
        sa.Column("accuracy_m", sa.Double),
        sa.Column("speed", sa.Double),
        sa.Column("heading", sa.Double),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_locations"),
    )
    op.create_index("ix_tablet_locations_tablet", "tablet_locations", ["tablet", "id"])
    op.create_index("ix_tablet_locations_received_at", "tablet_locations", ["received_at"])
    op.create_table(
        "tablet_metrics",
        sa.Column("id", _KEY, nullable=False),
        *_of_tablet("tablet_metrics"),
        sa.Column("cpu", sa.Double),
        sa.Column("memory_total", sa.BigInteger),
        sa.Column("memory_used", sa.BigInteger),
        sa.Column("memory_available", sa.BigInteger),
        sa.Column("storage_total", sa.BigInteger),
        sa.Column("storage_used", sa.BigInteger),
        sa.Column("storage_available", sa.BigInteger),
        sa.Column("network_type", sa.String(64)),
        sa.Column("foreground_app", sa.String(256)),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_metrics"),
    )
    op.create_index("ix_tablet_metrics_tablet", "tablet_metrics", ["tablet", "id"])
    op.create_index("ix_tablet_metrics_received_at", "tablet_metrics", ["received_at"])
    op.create_table(
        "tablet_actions",
        sa.Column("id", _KEY, nullable=False),
        *_of_tablet("tablet_actions"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("message", sa.String(1000)),
        sa.Column("params", sa.JSON),
        sa.Column("command_id", sa.String(32)),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_actions"),
    )
    op.create_index("ix_tablet_actions_tablet", "tablet_actions", ["tablet", "id"])
    op.create_index("ix_tablet_actions_command_id", "tablet_actions", ["command_id"])
    _make_checkouts()
    op.create_table(
        "tablet_audit",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("username", sa.String(128)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(256)),
        sa.Column("detail", sa.JSON),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_audit"),
    )
    op.create_index("ix_tablet_audit_organization_id", "tablet_audit", ["organization_id", "id"])


def _make_checkouts() -> None:
    op.create_table(
        "tablet_checkouts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("number", sa.String(32), nullable=False),
        sa.Column("company", sa.String(200), nullable=False),
        sa.Column("borrower_id", sa.String(128), nullable=False),
        sa.Column("charger", sa.JSON),
        sa.Column("start_at", _INSTANT, nullable=False),
        sa.Column("end_at", _INSTANT, nullable=False),
        sa.Column("usage_notes", sa.String(2000)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cancel_reason", sa.String(1000)),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_checkouts"),
        sa.UniqueConstraint(
            "organization_id", "number", name="uq_tablet_checkouts_organization_id_number"
        ),
    )
    op.create_index(
        "ix_tablet_checkouts_organization_id",
        "tablet_checkouts",
        ["organization_id", "status", "id"],
    )
    op.create_table(
        "tablet_checkout_items",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("checkout", _KEY, nullable=False),
        sa.Column("tablet", _KEY),
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("returned_at", _INSTANT),
        sa.Column("returned_by", sa.String(128)),
        sa.Column("problem", sa.String(1000)),
        sa.Column("solution", sa.String(1000)),
        sa.Column("maintenance_status", sa.String(16)),
        sa.Column("return_notes", sa.String(2000)),
        sa.PrimaryKeyConstraint("id", name="pk_tablet_checkout_items"),
        sa.ForeignKeyConstraint(
            ["checkout"],
            ["tablet_checkouts.id"],
            name="fk_tablet_checkout_items_checkout",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tablet"],
            ["tablets.id"],
            name="fk_tablet_checkout_items_tablet",
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_tablet_checkout_items_checkout", "tablet_checkout_items", ["checkout"])
    op.create_index("ix_tablet_checkout_items_tablet", "tablet_checkout_items", ["tablet", "id"])


def downgrade() -> None:
    for table in (
        "tablet_audit",
        "tablet_checkout_items",
        "tablet_checkouts",
        "tablet_actions",
        "tablet_metrics",
        "tablet_locations",
        "tablets",
    ):
        op.drop_table(table)
