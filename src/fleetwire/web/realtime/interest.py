"""Interest: which events a reader wants, as he says it and as a question to an event."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.query import parse
from fleetwire.kit.device import Device
from fleetwire.kit.services import LiveEvent
from fleetwire.protocol.errors import TopicFilterInvalidError
from fleetwire.protocol.topics import check_topic_filter, matches as topic_matches, split_shared

MOST_OF_A_KIND = 100  # devices, topics, … in one subscription; each is looked at per event
MAX_CHARS = 512
MAX_CURSOR = 2**63 - 1

READINGS = "telemetry.read"
DEVICES = "device.read"
RIGHTS = frozenset({READINGS, DEVICES})  # with either of them there is something to follow


class Interest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted: any of each kind that is named, and all kinds together; () = whatever.

    `organizations` are keys of organisations; a caller speaks for one. `devices` are
    `app/device_id`, or a `device_id` of any app. `query` is in the language of the device list, and
    with `groups` it counts who is meant at the moment of the event. `events` are names of events or
    `command.*`. `topics` are MQTT Topic Filters.
    """

    organizations: tuple[int, ...] = ()
    apps: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    query: str | None = None
    events: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


class Wish(Interest, frozen=True, forbid_unknown_fields=True):
    """A subscription as asked for.

    `since` is the cursor after which stored events come first. `snapshot` None = only without
    `since`. `slow` says what a reader gets who cannot keep up: the `latest` of each kind and a
    notice, or `every` event, later, from the store.
    """

    since: int | None = None
    snapshot: bool | None = None
    slow: Literal["latest", "every"] = "latest"

    @property
    def wants_snapshot(self) -> bool:
        """Whether the state of the devices comes first."""
        return self.since is None if self.snapshot is None else self.snapshot

    @property
    def interest(self) -> Interest:
        """What is wanted, without how: subscriptions of one interest share their work."""
        return Interest(
            self.organizations,
            self.apps,
            self.devices,
            self.groups,
            self.query,
            self.events,
            self.topics,
        )


def wish_of(content: Mapping[str, Any]) -> Wish:
    """Return a checked wish. Raises InvalidValueError that names the field."""
    try:
        wish = msgspec.convert(content, Wish)
    except msgspec.ValidationError as error:
        text = str(error)
        field = text.rpartition("$.")[2].rstrip("`").partition("[")[0] if "$." in text else None
        raise InvalidValueError(text, field=field) from None
    for kind in ("apps", "devices", "groups", "events", "topics"):
        named = getattr(wish, kind)
        if len(named) > MOST_OF_A_KIND:
            raise InvalidValueError(
                f"{kind} must not name more than {MOST_OF_A_KIND}; open another subscription",
                field=kind,
            )
        if any(not name or len(name) > MAX_CHARS for name in named):
            raise InvalidValueError(f"{kind}: 1 to {MAX_CHARS} characters each", field=kind)
    if any("*" in name[:-1] for name in wish.events):
        raise InvalidValueError("events: a * stands at the end of a name only", field="events")
    for topic in wish.topics:
        _check_topic(topic)
    if len(wish.organizations) > MOST_OF_A_KIND:
        raise InvalidValueError("organizations: too many", field="organizations")
    if wish.query is not None:
        parse(wish.query)
    if wish.since is not None and not 0 <= wish.since <= MAX_CURSOR:
        raise InvalidValueError("since must be the cursor of an event", field="since")
    return wish


def _check_topic(topic_filter: str) -> None:
    try:
        check_topic_filter(topic_filter)
        is_shared = split_shared(topic_filter)[0] is not None
    except TopicFilterInvalidError as error:
        raise InvalidValueError(f"topics: {error}", field="topics") from None
    if is_shared:
        raise InvalidValueError("topics: shared subscriptions are for MQTT", field="topics")


def question(
    interest: Interest,
    permissions: frozenset[str],
    readings_events: Mapping[str, str],
    *,
    only_app: str | None = None,
    is_selected: Callable[[Device], bool] | None = None,
) -> Callable[[LiveEvent], bool]:
    """Return what says whether an event of the reader's organisation is wanted, and allowed.

    Events that tell readings need `telemetry.read`, all others `device.read`. `readings_events`
    are the former by app. `only_app` is the one whose listener is asked; `is_selected` says who is
    in the groups and the query.
    """
    apps = frozenset(interest.apps)
    devices = frozenset(interest.devices)
    names = frozenset(name for name in interest.events if not name.endswith("*"))
    beginnings = tuple(name[:-1] for name in interest.events if name.endswith("*"))
    topics = interest.topics
    readings_allowed = READINGS in permissions
    others_allowed = DEVICES in permissions

    def wanted(event: LiveEvent) -> bool:
        app, name, device = event.app, event.name, event.device
        if readings_events.get(app) == name:
            if not readings_allowed:
                return False
        elif not others_allowed:
            return False
        if (apps and app not in apps) or (only_app is not None and app != only_app):
            return False
        if devices and not is_named(device, devices):
            return False
        if interest.events and name not in names and not name.startswith(beginnings or "\0"):
            return False
        if topics and not any(topic_matches(topic, event.topic) for topic in topics):
            return False
        return is_selected is None or is_selected(device)

    return wanted


def is_named(device: Device, devices: frozenset[str]) -> bool:
    """Say whether a device is one of these names, with or without its app."""
    return device.device_id in devices or f"{device.app}/{device.device_id}" in devices
