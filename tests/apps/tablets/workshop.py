"""Workshop: the app's handlers and work on one connection, without the house around them."""

from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select, text

from fleetwire.apps.tablets.tables import tablets
from fleetwire.features.devices.tables import devices
from fleetwire.features.organizations.tables import organizations
from fleetwire.kit import Device, Effect, Event, Incoming
from fleetwire.store.database import Database, Transaction

AT = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z
SECOND = 1_000_000


class Workshop:
    """One transaction that is never committed; `at` is the time at which messages come."""

    def __init__(self, path: Path) -> None:
        self._db = Database(f"sqlite:///{path}")
        self._connection = self._db.connect_to_write()
        self._connection.begin()
        self.tx = Transaction(self._connection)
        self.at = AT
        self._devices: dict[str, Device] = {}
        rows = [{"id": id, "name": f"Organisation {id}", "created_at": 1} for id in (1, 2)]
        self.tx.execute(text("DELETE FROM organizations"))
        self.tx.execute(insert(organizations), rows)

    def close(self) -> None:
        self._connection.close()
        self._db.engine.dispose()

    def register(self, code: str, organization_id: int = 1) -> Device:
        row = {
            "organization_id": organization_id,
            "app": "tablets",
            "device_id": code,
            "type": "tablet",
            "attributes": {},
            "status": "inactive",
            "reported": {},
            "connected": False,
            "created_at": AT,
            "updated_at": AT,
        }
        id = self.tx.execute(insert(devices).values(row)).inserted_primary_key[0]
        device = Device(id, "tablets", code, organization_id, "tablet", {})
        self._devices[code] = device
        return device

    def device(self, code: str) -> Device:
        return self._devices[code]

    def find(self, code: str) -> Device | None:
        return self._devices.get(code)

    def receive(self, handler: Any, code: str, body: dict[str, Any]) -> list[Effect]:
        """Let a handler take a message of this tablet; return its effects."""
        message = Incoming(f"tablet/{code}/x", b"", 1, False, "client", self.at)
        effects: list[Effect] = handler(self.device(code), body, message, self.tx)
        return effects

    def row(self, code: str) -> Row[Any]:
        return self.tx.execute(select(tablets).where(tablets.c.code == code)).one()


def pushed(effects: list[Effect], name: str) -> list[dict[str, Any]]:
    """Return what is told under this name."""
    return [each.body for each in effects if isinstance(each, Event) and each.name == name]
