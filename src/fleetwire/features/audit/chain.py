"""The chain of audit rows: each holds the digest of itself and of the row before it.

Each organisation has a chain of its own, and so have the deeds of nobody we know: who may read a
chain can check all of it, also in an export. All rows are appended on the writer's thread, inside
the transaction that does the deed; a piece of work that is rolled back takes its rows with it, and
the next one reads the digest that really stands last.

Does not: stop somebody who can write to the database from making the whole chain anew, or from
cutting off its end. Keep the digest of its head elsewhere, and `verify` says whether it still
stands.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import ColumnElement, insert, select

from fleetwire.features.audit.tables import audit
from fleetwire.store.database import Transaction

BEGINNING: Final = ""  # what stands for the digest before the first row
PRUNED: Final = "audit.pruned"  # the checkpoint: its detail names the last digest that was removed
_CONTENT: Final = (
    "organization_id", "at", "actor", "action", "subject", "outcome", "remote", "detail",
)  # fmt: skip


def append(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store deeds at the end of their chains. `detail` must have a form in JSON."""
    heads: dict[int | None, str] = {}
    linked = []
    for row in rows:
        organization_id = row.get("organization_id")
        previous = heads.get(organization_id)
        if previous is None:
            previous = head(tx, organization_id)
        # As it will be read back: tuples as lists, names as text.
        detail = json.loads(json.dumps(row["detail"]))
        own = {**row, "organization_id": organization_id, "detail": detail, "previous": previous}
        own["digest"] = heads[organization_id] = digest_of(own)
        linked.append(own)
    if linked:
        tx.execute(insert(audit), linked)


def head(tx: Transaction, organization_id: int | None) -> str:
    """Return the digest of a chain's last row, BEGINNING if it has none."""
    last = tx.execute(
        select(audit.c.digest)
        .where(belongs_to(organization_id))
        .order_by(audit.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    return last or BEGINNING


def belongs_to(organization_id: int | None) -> ColumnElement[bool]:
    """Return the condition for the rows of one chain."""
    if organization_id is None:
        return audit.c.organization_id.is_(None)
    return audit.c.organization_id == organization_id


def digest_of(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a row's content and of the digest before it, hexadecimal.

    The bytes are a JSON array: `previous`, then the columns as in _CONTENT; names sorted, no blank
    space, everything beyond ASCII escaped.
    """
    content = [row["previous"], *(row[name] for name in _CONTENT)]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
