"""Device types and areas.

Revision ID: 0061_types
"""

import sqlalchemy as sa
from alembic import op

revision = "0061_types"
down_revision = "0010_people"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "device_types",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_types"),
        sa.UniqueConstraint("organization_id", "name", name="uq_device_types_organization_id_name"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_device_types_organization_id"
        ),
    )
    op.create_table(
        "areas",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("parent", _KEY),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("path", sa.String(519), nullable=False),
        sa.Column("depth", sa.SmallInteger, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_areas"),
        sa.UniqueConstraint("organization_id", "path", name="uq_areas_organization_id_path"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_areas_organization_id"
        ),
        sa.ForeignKeyConstraint(["parent"], ["areas.id"], name="fk_areas_parent"),
    )
    op.create_index("ix_areas_parent", "areas", ["parent"])
    op.create_table(
        "device_areas",
        sa.Column("device", _KEY, nullable=False, autoincrement=False),
        sa.Column("area", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_device_areas"),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.id"], name="fk_device_areas_device", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["area"], ["areas.id"], name="fk_device_areas_area"),
    )
    op.create_index("ix_device_areas_area", "device_areas", ["area"])


def downgrade() -> None:
    op.drop_table("device_areas")
    op.drop_table("areas")
    op.drop_table("device_types")
