"""Tags of devices, their attributes as queries compare them, and groups by query.

Revision ID: 0020_groups
"""

import json
import math
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0020_groups"
down_revision = "0030_commands"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger
_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)


def upgrade() -> None:
    op.create_table(
        "device_tags",
        sa.Column("device", _KEY, nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.id"], name="fk_device_tags_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device", "tag", name="pk_device_tags"),
    )
    op.create_index("ix_device_tags_tag", "device_tags", ["tag"])
    facts = op.create_table(
        "device_facts",
        sa.Column("device", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("number", sa.Double),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.id"], name="fk_device_facts_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device", "name", name="pk_device_facts"),
    )
    op.create_table(
        "device_groups",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("query", sa.String(1000), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_groups"),
        sa.UniqueConstraint(
            "organization_id", "name", name="uq_device_groups_organization_id_name"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_device_groups_organization_id"
        ),
    )
    connection = op.get_bind()
    for id, attributes in connection.execute(sa.text("SELECT id, attributes FROM devices")).all():
        # SQLite gives JSON as its text, PostgreSQL as what it says.
        said = json.loads(attributes) if isinstance(attributes, str) else attributes
        rows = [{"device": id, "name": name} | fact for name, fact in _facts(said)]
        if rows:
            connection.execute(sa.insert(facts), rows)


def _facts(attributes: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return what features/devices/facts.py said when this was written."""
    facts = []
    for name, value in attributes.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, str | int | float):
            text = str(value)
        else:
            continue
        if len(text) > 200 or not text.isprintable():
            continue
        number = float(text) if _NUMBER.fullmatch(text) else math.inf
        facts.append((name, {"text": text, "number": number if math.isfinite(number) else None}))
    return facts
