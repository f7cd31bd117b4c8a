"""The names under which people read the medical tables with plain SQL.

Revision ID: medical_0001
"""

from alembic import op
from sqlalchemy import text

revision = "medical_0001"
down_revision = None
branch_labels = ("medical",)
depends_on = "0001_first"

# Per dialect: an attribute of the device, an instant in microseconds as ISO 8601, a number as it
# stands among texts. SQLite's columns hold either; elsewhere a column has one type, and it is text.
_ATTRIBUTE = {
    "sqlite": "json_extract(d.attributes, '$.{name}')",
    "postgresql": "d.attributes ->> '{name}'",
    "mariadb": "JSON_UNQUOTE(JSON_EXTRACT(d.attributes, '$.{name}'))",
}
_ISO = {
    "sqlite": (
        "strftime('%Y-%m-%dT%H:%M:%S', {at} / 1000000, 'unixepoch')"
        " || printf('.%06dZ', {at} % 1000000)"
    ),
    "postgresql": (
        "to_char(timestamp '1970-01-01' + {at} * interval '1 microsecond',"
        ' \'YYYY-MM-DD"T"HH24\\:MI\\:SS.US"Z"\')'
    ),
    "mariadb": (
        "DATE_FORMAT(TIMESTAMPADD(MICROSECOND, {at}, '1970-01-01'), '%Y-%m-%dT%H:%i:%s.%fZ')"
    ),
}
_NUMBER = {
    "sqlite": "r.number",
    "postgresql": "r.number::text",
    "mariadb": "CAST(r.number AS CHAR)",
}


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    if dialect == "mysql":
        dialect = "mariadb"

    def attribute(name: str) -> str:
        return _ATTRIBUTE[dialect].format(name=name)

    def iso(at: str) -> str:
        return f"CASE WHEN {at} IS NOT NULL THEN {_ISO[dialect].format(at=at)} END"

    op.execute(
        text(f"""
        CREATE VIEW medical_devices AS
        SELECT d.id AS id,
               d.device_id AS device_id,
               {attribute("patient_id")} AS patient_id,
               d.type AS type,
               {attribute("model")} AS model,
               {attribute("serial_number")} AS serial_number,
               d.status AS status,
               {iso("d.last_seen_at")} AS last_seen,
               {iso("d.created_at")} AS created_at
        FROM devices d
        WHERE d.app = 'medical'
        """)
    )
    # kind: 0 number, 1 truth value, 2 text, 3 JSON.
    op.execute(
        text(f"""
        CREATE VIEW device_readings AS
        SELECT r.id AS id,
               d.device_id AS device_id,
               m.name AS metric_type,
               CASE r.kind
                   WHEN 0 THEN {_NUMBER[dialect]}
                   WHEN 1 THEN CASE WHEN r.number = 0 THEN 'false' ELSE 'true' END
                   ELSE r.text
               END AS value,
               m.unit AS unit,
               {iso("r.at")} AS timestamp,
               r.source AS metadata
        FROM readings r
        JOIN devices d ON d.id = r.device
        JOIN metrics m ON m.id = r.metric
        WHERE d.app = 'medical'
        """)
    )


def downgrade() -> None:
    op.execute(text("DROP VIEW device_readings"))
    op.execute(text("DROP VIEW medical_devices"))
