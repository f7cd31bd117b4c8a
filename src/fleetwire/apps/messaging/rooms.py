"""Rooms: who is a member of which chat room, in memory and in the store."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from fleetwire.apps.messaging.rules import is_level
from fleetwire.apps.messaging.tables import members, rooms
from fleetwire.kit import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    Store,
    TooManyError,
    Transaction,
)

MOST_ROOMS = 10_000  # of an organisation
MOST_MEMBERS = 10_000  # of a room


class Rooms:
    """Room names are in topics, so a name is one organisation's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._organizations: dict[str, int] = {}
        self._members: dict[str, dict[str, None]] = {}
        self._of_user: dict[str, set[str]] = {}

    async def load(self) -> None:
        """Read everything from the store."""

        def work(connection: Connection) -> tuple[Sequence[Any], Sequence[Any]]:
            return (
                connection.execute(select(rooms.c.id, rooms.c.organization_id)).all(),
                connection.execute(select(members.c.room, members.c.user_id)).all(),
            )

        found_rooms, found_members = await self._store.read(work)
        for room, organization_id in found_rooms:
            self._organizations[room] = organization_id
            self._members[room] = {}
        for room, user_id in found_members:
            self._joined(room, user_id)

    def of(self, organization_id: int, user_ids: Sequence[str]) -> set[str]:
        """Return the rooms of an organisation that somebody is a member of."""
        found = {room for user_id in user_ids for room in self._of_user.get(user_id, ())}
        return {room for room in found if self._organizations[room] == organization_id}

    def list(self, organization_id: int) -> list[dict[str, Any]]:
        """Return an organisation's rooms with their members."""
        return [
            {"roomId": room, "members": sorted(self._members[room])}
            for room, owner in sorted(self._organizations.items())
            if owner == organization_id
        ]

    async def add(self, organization_id: int, room: str, user_id: str, now: int) -> None:
        """Make somebody a member; the room is made with its first one.

        Raises InvalidValueError, ConflictError if another organisation has a room of this name,
        TooManyError.
        """
        for field, value, most in (("roomId", room, 128), ("userId", user_id, 200)):
            if not is_level(value) or len(value) > most:
                raise InvalidValueError(
                    f"{field} is one level of a topic, of at most {most} characters", field=field
                )
        self._check(organization_id, room)

        def work(tx: Transaction) -> None:
            owner = tx.execute(
                select(rooms.c.organization_id).where(rooms.c.id == room)
            ).scalar_one_or_none()
            if owner is None:
                values = {"id": room, "organization_id": organization_id, "created_at": now}
                tx.execute(insert(rooms).values(values))
            elif owner != organization_id:
                raise _taken()
            is_there = (members.c.room == room) & (members.c.user_id == user_id)
            if tx.execute(select(members.c.room).where(is_there)).first() is None:
                tx.execute(insert(members).values(room=room, user_id=user_id, created_at=now))

            def told() -> None:
                self._organizations[room] = organization_id
                self._joined(room, user_id)

            tx.after_commit(told)

        await self._store.write(work)

    def _check(self, organization_id: int, room: str) -> None:
        owner = self._organizations.get(room)
        if owner is not None and owner != organization_id:
            raise _taken()
        if len(self._members.get(room, ())) >= MOST_MEMBERS:
            raise TooManyError(f"A room has at most {MOST_MEMBERS} members.")
        if owner is None:
            own = sum(1 for each in self._organizations.values() if each == organization_id)
            if own >= MOST_ROOMS:
                raise TooManyError(f"You have {MOST_ROOMS} rooms, which is the most.")

    async def remove(self, organization_id: int, room: str, user_id: str) -> None:
        """End a membership. Raises NotFoundError."""
        if self._organizations.get(room) != organization_id or user_id not in self._members[room]:
            raise NotFoundError(f"{user_id!r} is no member of a room {room!r}.")

        def work(tx: Transaction) -> None:
            is_meant = (members.c.room == room) & (members.c.user_id == user_id)
            tx.execute(delete(members).where(is_meant))

            def told() -> None:
                self._members[room].pop(user_id, None)
                self._of_user.get(user_id, set()).discard(room)

            tx.after_commit(told)

        await self._store.write(work)

    def _joined(self, room: str, user_id: str) -> None:
        self._members.setdefault(room, {})[user_id] = None
        self._of_user.setdefault(user_id, set()).add(room)


def _taken() -> ConflictError:
    return ConflictError("This name of a room is taken: choose another one.", field="roomId")
