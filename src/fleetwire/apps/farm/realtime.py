"""Socket.IO, root namespace: rooms of variables, devices and organisations, and what they are told.

`new-datastream` tells the newest value of a variable, at most so many times a second and never
never: what came within a window is told at its end. `datastream-batch` tells beside it what it
left out. A device's two rooms, by number and by uuid, are one room: who is in both is told once.
"""

import asyncio
from typing import Any, Final

from sqlalchemy import Connection, Table

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.carrying import STREAM, carry
from fleetwire.apps.farm.said import number_of
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.states import STATE_EVENT
from fleetwire.apps.farm.statuses import STATUS_EVENT
from fleetwire.apps.farm.streams import STREAM_EVENT
from fleetwire.apps.farm.tables import devices, organizations, sensors, telemetry
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import (
    App,
    Devices,
    Intake,
    InvalidValueError,
    LiveEvent,
    Messages,
    NotFoundError,
    SocketClient,
    Sockets,
    SocketSpace,
    Store,
)
from fleetwire.kit.instants import iso, now

MOST_ROOMS: Final = 500  # in one `join`
MOST_CHARS: Final = 128
EVERYBODY: Final = "everybody"
JOINED: Final = "joined"

Rooms = str | list[str]


class Live:
    """What the app tells on Socket.IO. `space` is declared with the App."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._window_s = 1.0 / terms.values_per_second
        # By organisation and variable, while its window is open: bounded by what is told.
        self._open: dict[tuple[int, int], _Window] = {}
        self.space = SocketSpace("/", needs="device.read")
        self.space.on("join")(join)
        self.space.on("leave")(leave)
        self.space.on("datastream")(send)
        self.space.on_connect(enter_everybody)

    def add_to(self, app: App) -> None:
        """Serve the namespace, and tell what the app hears of."""
        app.include_sockets(self.space)
        app.on(STREAM_EVENT)(self.tell_streams)
        app.on(STATE_EVENT)(self.tell_state)
        app.on(STATUS_EVENT)(self.tell_status)
        app.on("device.connected")(self.tell_presence)
        app.on("device.disconnected")(self.tell_presence)
        app.on("alarm.raised")(self.tell_alarm)
        app.on("command.*")(self.tell_command)

    async def tell_streams(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `new-datastream`, and what belongs to it."""
        tenant_id = event.device.organization_id
        for shown in event.body["dataStreams"]:
            self._tell_value(sockets, tenant_id, shown)
            if self._terms.broadcast_all:
                told = {"type": "create", "dataStream": shown, "timestamp": iso(event.received_at)}
                self._emit(sockets, tenant_id, EVERYBODY, "datastreams-update", told)

    def _tell_value(self, sockets: Sockets, tenant_id: int, shown: dict[str, Any]) -> None:
        key = tenant_id, shown["telemetryDataId"]
        window = self._open.get(key)
        if window is not None:
            window.add(shown)
            return
        self._say(sockets, tenant_id, shown)
        self._begin(sockets, key)

    def _begin(self, sockets: Sockets, key: tuple[int, int]) -> None:
        self._open[key] = _Window()
        loop = asyncio.get_running_loop()
        loop.call_later(self._window_s, self._end, sockets, key)

    def _end(self, sockets: Sockets, key: tuple[int, int]) -> None:
        window = self._open.pop(key)
        if window.latest is None:
            return
        tenant_id, variable = key
        self._say(sockets, tenant_id, window.latest)
        if window.count > 1:
            room = f"telemetry-{variable}"
            self._emit(sockets, tenant_id, room, "datastream-batch", window.told(variable))
        self._begin(sockets, key)

    def _say(self, sockets: Sockets, tenant_id: int, shown: dict[str, Any]) -> None:
        room = f"telemetry-{shown['telemetryDataId']}"
        told = {"dataStream": shown, "timestamp": iso(now())}
        # To a client that is slow a newer value takes the place of one that waits.
        self._emit(sockets, tenant_id, room, "new-datastream", told, key=f"new-datastream/{room}")

    async def tell_state(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `device-state-change` to the device's room."""
        room = _room_of(event.device.device_id)
        tenant_id = event.device.organization_id
        self._emit(sockets, tenant_id, room, "device-state-change", event.body)

    async def tell_status(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `device-status` of what a device said of itself."""
        await self._tell_device(event, "device-status", event.body, sockets)

    async def tell_presence(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `device-status` of a session's begin or end, with its reason and since."""
        told = {
            "deviceUuid": event.device.device_id,
            "status": "online" if event.name == "device.connected" else "offline",
            "reason": event.body.get("reason"),
            "timestamp": iso(event.received_at),
        }
        await self._tell_device(event, "device-status", told, sockets)

    async def tell_alarm(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `alarm`."""
        told = {"deviceUuid": event.device.device_id, **event.body}
        await self._tell_device(event, "alarm", told, sockets)

    async def tell_command(self, event: LiveEvent, sockets: Sockets) -> None:
        """Tell `command`: what became of it."""
        told = {
            "deviceUuid": event.device.device_id,
            "state": event.name.removeprefix("command."),
            **event.body,
            "timestamp": iso(event.received_at),
        }
        await self._tell_device(event, "command", told, sockets)

    async def _tell_device(
        self, event: LiveEvent, name: str, told: dict[str, Any], sockets: Sockets
    ) -> None:
        """Tell the room of a device and that of its farm."""
        device = event.device
        self._emit(sockets, device.organization_id, _room_of(device.device_id), name, told)
        farm = device.attributes.get("organization_id")
        if farm is not None:
            self._emit(sockets, device.organization_id, f"organization-{farm}", name, told)

    def _emit(
        self,
        sockets: Sockets,
        tenant_id: int,
        room: str,
        event: str,
        data: dict[str, Any],
        key: str | None = None,
    ) -> None:
        sockets.emit(self.space, event, data, organization_id=tenant_id, room=room, key=key)


class _Window:
    """What came of a variable since it was last told."""

    def __init__(self) -> None:
        self.latest: dict[str, Any] | None = None
        self.count = 0
        self._numbers = 0
        self._sum = 0.0
        self._min: float | None = None
        self._max: float | None = None

    def add(self, shown: dict[str, Any]) -> None:
        self.latest = shown
        self.count += 1
        number = number_of(shown["value"])
        if number is None:
            return
        self._numbers += 1
        self._sum += number
        self._min = number if self._min is None else min(self._min, number)
        self._max = number if self._max is None else max(self._max, number)

    def told(self, variable: int) -> dict[str, Any]:
        """Return `datastream-batch`; of values that are no numbers min, max and avg are null."""
        return {
            "telemetryDataId": variable,
            "count": self.count,
            "latest": self.latest,
            "min": self._min,
            "max": self._max,
            "avg": self._sum / self._numbers if self._numbers else None,
            "timestamp": iso(now()),
        }


async def enter_everybody(client: SocketClient) -> None:
    """Let somebody who connects hear what is told to all of his organisation."""
    client.enter(EVERYBODY)


async def join(client: SocketClient, said: Rooms, store: Store) -> dict[str, Any]:
    """Let a client into a room or a list of them; all or none.

    Raises InvalidValueError for a name that is no room's, NotFoundError for one that is not of his
    organisation.
    """
    names = _names(said)
    tenant_id = client.caller.organization_id
    places = await store.read(lambda c: {name: _place(c, tenant_id, name) for name in names})
    joined: dict[str, str] = client.state.setdefault(JOINED, {})
    for name, place in places.items():
        client.enter(place)
        joined[name] = place
    return {"status": "success", "rooms": sorted(joined)}


async def leave(client: SocketClient, said: Rooms) -> dict[str, Any]:
    """Let a client out of a room or a list of them."""
    joined: dict[str, str] = client.state.setdefault(JOINED, {})
    for name in _names(said):
        place = joined.pop(name, None)
        if place is not None and place not in joined.values():
            client.leave(place)
    return {"status": "success", "rooms": sorted(joined)}


async def send(
    client: SocketClient,
    said: dict[str, Any],
    devices: Devices,
    intake: Intake,
    messages: Messages,
) -> dict[str, Any]:
    """Store values of the sensor `deviceUuid`, as MQTT would bring them on its topic.

    Raises what `carry` does, which is what the client is answered.
    """
    body = dict(said)
    uuid = body.pop("deviceUuid", None)
    device = devices.find(APP, uuid) if isinstance(uuid, str) else None
    if device is None or device.organization_id != client.caller.organization_id:
        raise NotFoundError("There is no such sensor.", field="deviceUuid")
    shown = await carry(intake, messages, client.caller, device.device_id, STREAM, body)
    return {"status": "success", "data": shown}


def _names(said: Rooms) -> list[str]:
    names = [said] if isinstance(said, str) else said
    if not 1 <= len(names) <= MOST_ROOMS:
        raise InvalidValueError(f"Name 1 to {MOST_ROOMS} rooms", field="rooms")
    if any(len(name) > MOST_CHARS for name in names):
        raise InvalidValueError(f"A room's name has up to {MOST_CHARS} characters", field="rooms")
    return names


def _room_of(uuid: str) -> str:
    return f"device-uuid-{uuid}"


def _place(connection: Connection, tenant_id: int, name: str) -> str:
    """Return the room that a name stands for. Raises InvalidValueError, NotFoundError."""
    if name.startswith("device-uuid-"):
        uuid = name.removeprefix("device-uuid-")
        for table in (sensors, devices):
            if _has(connection, tenant_id, table, uuid):
                return _room_of(uuid)
        raise NotFoundError(f"There is no room {name!r} in your organization.", field="rooms")
    kind, _, number = name.rpartition("-")
    known: dict[str, Table] = {
        "telemetry": telemetry,
        "device": devices,
        "organization": organizations,
    }
    if kind not in known or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise InvalidValueError(
            f"{name!r} is no room: telemetry-<id>, device-<id>, device-uuid-<uuid>, "
            "organization-<id>",
            field="rooms",
        )
    row = rows.find(connection, tenant_id, known[kind], int(number), "rooms")
    return _room_of(row.uuid) if kind == "device" else name


def _has(connection: Connection, tenant_id: int, table: Table, uuid: str) -> bool:
    return rows.count(connection, table, table.c.uuid == uuid, table.c.tenant_id == tenant_id) > 0
