"""Lasting: the subscriptions that people made over HTTP, in the store."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from fleetwire.apps.messaging.book import Key, Subscription, key_of, new_subscription
from fleetwire.apps.messaging.persons import Person
from fleetwire.apps.messaging.tables import subscriptions
from fleetwire.kit import Store, Transaction


class Lasting:
    """One row for each user and filter."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> list[Subscription]:
        """Return all of them."""

        def work(connection: Connection) -> list[Subscription]:
            return [_subscription(row) for row in connection.execute(select(subscriptions))]

        return await self._store.read(work)

    async def add(self, person: Person, topic: str, qos: int, now: int) -> Subscription:
        """Store one, or its new QoS; return it."""
        made = new_subscription(person, topic, qos, now)
        made.lasting = qos
        is_meant = _is_meant(key_of(person), topic)

        def work(tx: Transaction) -> Subscription:
            row = tx.execute(select(subscriptions).where(is_meant)).one_or_none()
            if row is not None:
                tx.execute(update(subscriptions).where(is_meant).values(qos=qos))
                known = _subscription(row)
                known.qos = known.lasting = qos
                return known
            organization_id, actor = made.key
            values = {"organization_id": organization_id, "actor": actor}
            values |= {"id": made.id, "user_id": made.user_id, "topic": topic, "qos": qos}
            tx.execute(insert(subscriptions).values(values | {"created_at": now}))
            return made

        return await self._store.write(work)

    async def remove(self, key: Key, topic: str) -> None:
        """Remove one, if it is there."""
        await self._store.write(lambda tx: _remove(tx, key, topic))


def _remove(tx: Transaction, key: Key, topic: str) -> None:
    tx.execute(delete(subscriptions).where(_is_meant(key, topic)))


def _is_meant(key: Key, topic: str) -> Any:
    return (
        (subscriptions.c.organization_id == key[0])
        & (subscriptions.c.actor == key[1])
        & (subscriptions.c.topic == topic)
    )


def _subscription(row: Row[Any]) -> Subscription:
    key = (row.organization_id, row.actor)
    return Subscription(
        row.id, key, row.user_id, row.topic, row.qos, row.created_at, lasting=row.qos
    )
