from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.audit.tables import audit
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.provisioning.approvals import Approvals
from fleetwire.features.provisioning.claims import Claims
from fleetwire.features.provisioning.enrolling import Enrolling
from fleetwire.features.provisioning.fleet_keys import FleetKeys
from fleetwire.features.provisioning.guesses import Guesses
from fleetwire.features.provisioning.newcomers import Newcomers
from fleetwire.features.provisioning.self_enrolment import SelfEnrolment
from fleetwire.features.provisioning.way_in import LetIn, WayIn
from fleetwire.net.authenticator import Offer, RefusedError
from tests.features.rooms import Rooms, open_rooms

SECRET = "the secret of the tests, which is long enough"
HERE = "192.0.2.7"
PORTS = {"mqtt": 1883, "mqtts": 8883, "platform": 8000}


class Seconds:
    """A clock that does not run backwards, and moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Entrance:
    """The room over a real database: everything that lets devices in."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.seconds = Seconds()
        self.audit = SqlAudit(rooms.db, rooms.clock)
        self.newcomers = Newcomers(
            rooms.registry, rooms.devices, rooms.log, self.audit, rooms.clock
        )
        self.way_in = WayIn(rooms.apps, lambda: PORTS)
        self.guesses = Guesses(self.audit, Throttle(self.seconds), self.seconds)
        self.claims = self.make_claims(SECRET)
        self.keys = FleetKeys(rooms.db, self.newcomers, self.audit, rooms.clock)
        self.approvals = Approvals(rooms.db, self.newcomers, self.audit, rooms.clock)
        self.enrolling = Enrolling(
            rooms.db, self.newcomers, self.audit, self.way_in, self.guesses, rooms.clock
        )
        self.door = DeviceAuthenticator(rooms.registry, rooms.apps, rooms.db, rooms.clock)
        self.policies = {"demo": "enrol_anonymous", "vending": "quarantine"}
        self.itself = self.make_itself()

    def make_claims(self, secret: str) -> Claims:
        rooms = self.rooms
        return Claims(
            rooms.db, self.newcomers, self.audit, self.way_in, self.guesses, secret, rooms.clock
        )

    def make_itself(self, *, per_minute: int = 600, most: int = 10_000) -> SelfEnrolment:
        return SelfEnrolment(
            self.rooms.db, self.newcomers, self.policies.__getitem__, certificate_app="demo",
            per_minute=per_minute, most=most, clock=self.rooms.clock, monotonic=self.seconds,
        )  # fmt: skip

    async def connects(self, let_in: LetIn) -> bool:
        """Say whether a device is let in with what it was told."""
        given = let_in.credential
        offer = Offer("c", given.username, given.password.encode(), "10.0.0.1:5", False)
        try:
            await self.door.authenticate(offer)
        except RefusedError as error:
            if "revoked" not in error.reason:
                raise
            return False
        return True

    async def deeds(self) -> list[tuple[str, str, str | None]]:
        """Return (actor, action, subject) of what is on record, in order."""
        query = select(audit.c.actor, audit.c.action, audit.c.subject).order_by(audit.c.id)

        def read(connection: Any) -> list[tuple[str, str, str | None]]:
            return [tuple(row) for row in connection.execute(query)]

        return await self.rooms.db.read(read)


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    async with open_rooms(tmp_path / "test.db") as rooms:
        yield rooms


@pytest.fixture
def entrance(rooms: Rooms) -> Entrance:
    """What lets devices in."""
    return Entrance(rooms)
