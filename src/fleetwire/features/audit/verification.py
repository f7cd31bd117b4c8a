"""Verification: does a chain of audit rows still hold, and which row is the first that does not.

A chain may begin in three ways: with its first row; after rows from before there were chains (they
have no digest and are counted apart); or where retention cut it, and then a later checkpoint of
the same chain names the digest that the first remaining row follows.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Text, cast, select

from fleetwire.features.audit.chain import BEGINNING, PRUNED, belongs_to, digest_of
from fleetwire.features.audit.tables import audit

CHUNK: Final = 1000  # rows in memory at a time


class Broken(msgspec.Struct, frozen=True):
    """The first row that does not hold. `at` is what the row says, microseconds UTC."""

    id: int
    at: int
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """What was found of one chain.

    `rows` were checked, `unchained` are from before there were chains. `head` is the digest that
    the chain ends with, "" if it is empty. `has_known` says whether the digest asked for stands in
    it, None if none was.
    """

    rows: int
    unchained: int
    head: str
    broken: Broken | None
    has_known: bool | None


def verify(connection: Connection, organization_id: int | None, known: str | None) -> Verdict:
    """Walk one chain from its beginning; `known` is a digest that somebody kept."""
    rows = unchained = 0
    last: str | None = None
    cut = BEGINNING  # the digest of the removed row that the first remaining one follows
    first: tuple[int, int] | None = None
    has_known = None if known is None else False
    broken: Broken | None = None
    for row in _rows(connection, organization_id):
        if row["digest"] is None and last is None:
            unchained += 1
            continue
        rows += 1
        if last is None:
            first, cut = (row["id"], row["at"]), row["previous"] or BEGINNING
            if cut != BEGINNING and unchained:
                broken = _broken(row, "rows before it have lost their digests")
        broken = broken or _fault(row, last)
        if broken is not None:
            break
        if cut != BEGINNING and _names(row, cut):
            cut = BEGINNING  # whoever removed what was before says so
        if known is not None and row["digest"] == known:
            has_known = True
        last = row["digest"]
    if broken is None and cut != BEGINNING and first is not None:
        broken = Broken(*first, "rows before it are gone, and no checkpoint says why")
    return Verdict(rows, unchained, last or BEGINNING, broken, has_known)


def _fault(row: dict[str, Any], last: str | None) -> Broken | None:
    if row["digest"] is None:
        return _broken(row, "it has no digest")
    if last is not None and row["previous"] != last:
        return _broken(row, "it does not follow the row before it: rows are missing or were added")
    if row["detail"] is None or digest_of(row) != row["digest"]:
        return _broken(row, "its content is not what was recorded")
    return None


def _names(row: dict[str, Any], digest: str) -> bool:
    """Say whether a row is the checkpoint of what ended with this digest."""
    detail = row["detail"]
    return row["action"] == PRUNED and isinstance(detail, dict) and detail.get("digest") == digest


def _broken(row: dict[str, Any], reason: str) -> Broken:
    return Broken(row["id"], row["at"], reason)


def _rows(connection: Connection, organization_id: int | None) -> Iterator[dict[str, Any]]:
    # As text: what somebody put there may be no JSON at all.
    text = cast(audit.c.detail, Text).label("detail")
    columns = [text if column is audit.c.detail else column for column in audit.c]
    last_id = 0
    while True:
        query = (
            select(*columns)
            .where(belongs_to(organization_id), audit.c.id > last_id)
            .order_by(audit.c.id)
            .limit(CHUNK)
        )
        found = connection.execute(query).mappings().all()
        for row in found:
            yield {**row, "detail": _decoded(row["detail"])}
        if len(found) < CHUNK:
            return
        last_id = found[-1]["id"]


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
