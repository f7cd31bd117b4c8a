"""Every route of every listener and every live channel: what it needs, and how to call it.

A line's path names things in braces, which `tests.routes.things` makes in the first organisation:
`{device}` is the id of a new device, and so on. `{name}` is a name that nothing has yet.
"""

from dataclasses import dataclass, field, replace
from typing import Any

OPEN = "open"  # needs no credentials
SIGNED_IN = "signed in"  # needs credentials, but no permission


@dataclass(frozen=True)
class Line:
    """One route. `needs` is a permission, SIGNED_IN or OPEN; `answer` is the status of a good call.

    `names` says that the call names something of an organisation, so that it is 404 for another;
    else what it shows or does is the caller's own organisation's alone.
    """

    method: str
    path: str
    needs: str
    answer: int = 200
    query: dict[str, str] = field(default_factory=dict)
    json: Any = None
    names: bool = False

    @property
    def id(self) -> str:
        """How the line is called in the report."""
        return f"{self.method} {self.path}"


PASSWORD = "correct horse battery"
MANY = {"ids": ["{refused}"]}

LOGIN = [
    # A name of its own each time: wrong passwords for one name are throttled.
    Line(
        "POST",
        "/api/v1/auth/login",
        OPEN,
        401,
        json={"username": "{name}", "password": PASSWORD},
    ),
    Line("POST", "/api/v1/auth/refresh", OPEN, 401, json={"refresh_token": "x"}),
    Line("POST", "/api/v1/auth/logout", OPEN, 204, json={"refresh_token": "x"}),
    Line("GET", "/api/v1/auth/me", SIGNED_IN),
    Line("POST", "/api/v1/auth/switch", SIGNED_IN, json={"organization": 1}),
    Line(
        "POST",
        "/api/v1/auth/change-password",
        SIGNED_IN,
        422,  # for the new one: wrong old ones would be throttled
        json={"old_password": "wrong", "new_password": "x"},
    ),
]

_DEVICE = "/api/v1/devices/medical/{device}"
_COMMAND = {"name": "start_monitoring"}
_NEW_ACCOUNT = {"email": "{name}@x.example", "username": "{name}", "password": PASSWORD}
_RULE = "/api/v1/rules/medical/{chain}"
_CLAIM = {"app": "medical", "device_id": "{name}", "type": "ecg_monitor"}
_FLEET_KEY = {"name": "{name}", "app": "medical", "type": "ecg_monitor"}
_RESET = {"token": "x", "new_password": PASSWORD}
_ACCEPTANCE = {"token": "x", "username": "{name}", "password": PASSWORD}

PLATFORM = [
    *LOGIN,
    Line("GET", "/", OPEN),
    Line("GET", "/health", OPEN),
    Line("GET", "/health/liveness", OPEN),
    Line("GET", "/health/live", OPEN),
    Line("GET", "/health/ready", OPEN),
    Line("GET", "/health/detail", SIGNED_IN),
    Line("GET", "/metrics", OPEN),  # on loopback; else see tests/web/test_health.py
    Line("POST", "/api/v1/accounts", "account.manage", 201, json=_NEW_ACCOUNT),
    Line("GET", "/api/v1/accounts", "account.manage"),
    Line("GET", "/api/v1/accounts/{account}", "account.manage", names=True),
    Line("PATCH", "/api/v1/accounts/{account}", "account.manage", json={}, names=True),
    Line("DELETE", "/api/v1/accounts/{account}", "account.manage", 204, names=True),
    Line(
        "POST",
        "/api/v1/api-keys",
        "key.write",
        201,
        json={"name": "{name}", "publish": ["{{organization}}/x"]},
    ),
    Line("GET", "/api/v1/api-keys", "key.read"),
    Line(
        "POST",
        "/api/v1/me/keys",
        SIGNED_IN,
        201,
        json={"name": "{name}", "permissions": ["device.read"]},
    ),
    Line("GET", "/api/v1/me/keys", SIGNED_IN),
    Line("DELETE", "/api/v1/me/keys/{own_key}", SIGNED_IN, 204, names=True),
    Line("GET", "/api/v1/me/sessions", SIGNED_IN),
    Line("DELETE", "/api/v1/me/sessions/{session}", SIGNED_IN, 204, names=True),
    Line("DELETE", "/api/v1/accounts/{account}/sessions", "account.manage", 204, names=True),
    Line("DELETE", "/api/v1/accounts/{account}/membership", "account.manage", 409, names=True),
    Line("POST", "/api/v1/accounts/{account}/password-reset", "account.manage", 201, names=True),
    Line("POST", "/api/v1/auth/reset-password", OPEN, 401, json=_RESET),
    Line("POST", "/api/v1/invitations", "account.manage", 201, json={"email": "{name}@x.example"}),
    Line("GET", "/api/v1/invitations", "account.manage"),
    Line("DELETE", "/api/v1/invitations/{invitation}", "account.manage", 204, names=True),
    Line("POST", "/api/v1/auth/accept-invitation", OPEN, 401, json=_ACCEPTANCE),
    Line("GET", "/api/v1/organizations", SIGNED_IN),
    Line("POST", "/api/v1/organizations", "organization.create", 201, json={"name": "{name}"}),
    Line("DELETE", "/api/v1/api-keys/{key}", "key.write", 204, names=True),
    Line("GET", "/api/v1/organization", "organization.read"),
    Line("PATCH", "/api/v1/organization", "organization.write", json={"name": "{name}"}),
    Line(
        "POST",
        "/api/v1/devices",
        "device.write",
        201,
        json={"app": "medical", "device_id": "{name}", "type": "ecg_monitor"},
    ),
    Line("GET", "/api/v1/devices", "device.read"),
    Line(
        "POST", "/api/v1/groups", "device.write", 201, json={"name": "{name}", "query": "tag:cold"}
    ),
    Line("GET", "/api/v1/groups", "device.read"),
    Line(
        "POST",
        "/api/v1/device-imports",
        "device.write",
        201,
        json={"devices": [{"app": "medical", "device_id": "{name}", "type": "ecg_monitor"}]},
    ),
    Line("GET", "/api/v1/groups/{group}", "device.read", names=True),
    Line("GET", "/api/v1/groups/{group}/devices", "device.read", names=True),
    Line("PATCH", "/api/v1/groups/{group}", "device.write", json={"query": "tag:b"}, names=True),
    Line("DELETE", "/api/v1/groups/{group}", "device.write", 204, names=True),
    Line("GET", "/api/v1/devices/export", "device.read"),
    Line("POST", "/api/v1/device-types", "device.write", 201, json={"name": "{name}"}),
    Line("GET", "/api/v1/device-types", "device.read"),
    Line("GET", "/api/v1/device-types/{type}", "device.read", names=True),
    Line("PATCH", "/api/v1/device-types/{type}", "device.write", json={}, names=True),
    Line("DELETE", "/api/v1/device-types/{type}", "device.write", 204, names=True),
    Line("POST", "/api/v1/areas", "device.write", 201, json={"name": "{name}"}),
    Line("GET", "/api/v1/areas", "device.read"),
    Line("GET", "/api/v1/areas/{area}", "device.read", names=True),
    Line("GET", "/api/v1/areas/{area}/devices", "device.read", names=True),
    Line("PATCH", "/api/v1/areas/{area}", "device.write", json={"name": "{name}"}, names=True),
    Line("DELETE", "/api/v1/areas/{area}", "device.write", 204, names=True),
    Line("GET", _DEVICE, "device.read", names=True),
    Line("PATCH", _DEVICE, "device.write", json={"name": "Bed 4"}, names=True),
    Line("DELETE", _DEVICE, "device.write", 204, names=True),
    Line("POST", _DEVICE + "/credentials", "device.write", 201, json={}, names=True),
    Line("GET", _DEVICE + "/credentials", "device.read", names=True),
    Line("DELETE", _DEVICE + "/credentials/{credential}", "device.write", 204, names=True),
    Line(
        "POST",
        _DEVICE + "/certificates",
        "device.write",
        201,
        json={"fingerprint": "{fingerprint}"},
        names=True,
    ),
    Line("GET", "/api/v1/credentials/expiring", "device.read"),
    Line("POST", "/api/v1/claims", "device.write", 201, json=_CLAIM),
    Line("GET", "/api/v1/claims", "device.read"),
    Line("GET", "/api/v1/claims/{claim}/qr.svg", "device.write", names=True),
    Line("DELETE", "/api/v1/claims/{claim}", "device.write", 204, names=True),
    Line("POST", "/api/v1/fleet-keys", "device.write", 201, json=_FLEET_KEY),
    Line("GET", "/api/v1/fleet-keys", "device.read"),
    Line("DELETE", "/api/v1/fleet-keys/{fleet_key}", "device.write", 204, names=True),
    Line("GET", "/api/v1/enrolments", "device.read"),
    Line("GET", "/api/v1/enrolments/{enrolment}", "device.read", names=True),
    Line("POST", "/api/v1/enrolments/{enrolment}/approve", "device.write", json={}, names=True),
    Line("POST", "/api/v1/enrolments/{enrolment}/refuse", "device.write", json={}, names=True),
    Line("POST", "/api/v1/provision/claim", OPEN, 401, json={"code": "2222-2222-2222"}),
    Line("POST", "/api/v1/provision/enrol", OPEN, 401, json={"fleet_key": "x", "device_id": "x"}),
    Line("POST", "/api/v1/provision/poll", OPEN, 401, json={"poll_token": "x"}),
    Line("GET", "/claim", OPEN),
    Line("GET", _DEVICE + "/presence", "device.read", names=True),
    Line("GET", _DEVICE + "/presence/history", "device.read", names=True),
    Line("GET", _DEVICE + "/readings", "telemetry.read", names=True),
    Line("GET", _DEVICE + "/readings/latest", "telemetry.read", names=True),
    Line(
        "GET", _DEVICE + "/readings/buckets", "telemetry.read", query={"bucket": "5m"}, names=True
    ),
    Line("POST", _DEVICE + "/commands", "command.send", 202, json=_COMMAND, names=True),
    Line("GET", _DEVICE + "/commands", "device.read", names=True),
    Line("GET", "/api/v1/commands/{command}", "device.read", names=True),
    Line("POST", "/api/v1/commands/{command}/cancel", "command.send", names=True),
    Line(
        "POST",
        "/api/v1/command-batches",
        "command.send",
        202,
        json=_COMMAND | {"app": "medical", "devices": ["{device}"]},
        names=True,
    ),
    Line("GET", "/api/v1/command-batches/{batch}", "device.read", names=True),
    Line("GET", "/api/v1/command-batches/{batch}/commands", "device.read", names=True),
    Line("POST", "/api/v1/rules", "device.write", 201, json={"app": "medical", "name": "{name}"}),
    Line("GET", "/api/v1/rules", "telemetry.read"),
    Line("GET", _RULE, "telemetry.read", names=True),
    Line("PATCH", _RULE, "device.write", json={"enabled": False}, names=True),
    Line("DELETE", _RULE, "device.write", 204, names=True),
    Line("POST", _RULE + "/run", "command.send", json={}, names=True),
    Line("POST", _RULE + "/dry-run", "telemetry.read", json={}, names=True),
    Line("GET", _RULE + "/executions", "telemetry.read", names=True),
    Line("GET", "/api/v1/quarantine", "quarantine.read"),
    Line("POST", "/api/v1/quarantine/discard", "quarantine.write", json=MANY),
    Line("POST", "/api/v1/quarantine/rehearse", "quarantine.write", json=MANY),
    Line("POST", "/api/v1/quarantine/rerun", "quarantine.write", 202, json=MANY),
    Line("GET", "/api/v1/quarantine/reruns", "quarantine.read"),
    Line("GET", "/api/v1/quarantine/reruns/{rerun}", "quarantine.read", names=True),
    Line("GET", "/api/v1/quarantine/{refused}", "quarantine.read", names=True),
    Line("DELETE", "/api/v1/quarantine/{refused}", "quarantine.write", 204, names=True),
    Line("POST", "/api/v1/jobs", "device.write", 201, json={"kind": "device.import", "total": 1}),
    Line("GET", "/api/v1/jobs", SIGNED_IN),
    Line("GET", "/api/v1/jobs/{job}", "device.read", names=True),
    Line("POST", "/api/v1/jobs/{job}/cancel", "device.write", names=True),
    Line("GET", "/api/v1/alarms", "telemetry.read"),
    Line("GET", "/api/v1/audit", "audit.read"),
    Line("GET", "/api/v1/audit/export", "audit.read"),
    Line("GET", "/api/v1/audit/verify", "audit.read"),
    Line(
        "GET",
        "/api/v1/acl/test",
        "broker.read",
        query={"identity": "device:medical/{device}", "action": "publish", "topic": "a"},
        names=True,
    ),
    Line("GET", "/api/v1/broker", "broker.read"),
    Line("GET", "/api/v1/broker/bridges", "broker.read"),
    Line("GET", "/api/v1/broker/counters", "broker.read"),
    Line("GET", "/api/v1/broker/clients", "broker.read"),
    Line("GET", "/api/v1/broker/clients/{client}", "broker.read", names=True),
    Line("DELETE", "/api/v1/broker/clients/{client}", "broker.write", 204, names=True),
    Line("GET", "/api/v1/broker/retained", "broker.read"),
    Line("GET", "/api/v1/broker/retained/{topic}", "broker.read", names=True),
    Line("DELETE", "/api/v1/broker/retained/{topic}", "broker.write", 204, names=True),
    Line("GET", "/api/v1/broker/trace", "broker.read", query={"seconds": "1", "topic": "x"}),
]

_MEDICAL = "/devices/{device}"
_REGISTRATION = {"device_id": "{name}", "type": "ecg_monitor", "patient_id": "patient-1"}

MEDICAL = [
    *LOGIN,
    Line("GET", "/health", OPEN),
    Line("GET", "/health/detailed", SIGNED_IN),
    Line("GET", "/metrics", SIGNED_IN),
    Line("POST", "/devices/register", "device.write", 201, json=_REGISTRATION),
    Line("GET", "/devices", "device.read"),
    Line("GET", _MEDICAL, "device.read", names=True),
    Line("PATCH", _MEDICAL, "device.write", json={"patient_id": "patient-2"}, names=True),
    Line("DELETE", _MEDICAL, "device.write", 204, names=True),
    Line("GET", _MEDICAL + "/data", "telemetry.read", names=True),
    Line(
        "POST",
        _MEDICAL + "/command",
        "command.send",
        202,
        json={"command": "start_monitoring", "parameters": {}},
        names=True,
    ),
    Line("GET", _MEDICAL + "/commands", "device.read", names=True),
    Line("POST", "/publish", "message.publish", query={"topic": "x/{name}", "payload": "1"}),
    Line("POST", "/subscribe", "message.read", query={"topic": "x/{name}"}),
    Line("GET", "/messages/{name}", "message.read"),
]

_TABLET = "/api/device/{tablet}"
_CHECKOUT = "/api/checkouts/{checkout}"
_LENDING = {
    "company": "Acme",
    "borrowerId": "17",
    "deviceIds": ["{tablet}"],
    "startTime": "2026-02-01T08:00:00Z",
    "endTime": "2026-02-03T17:00:00Z",
}
_MENDING = {"deviceIds": ["{tablet}"], "maintenanceStatus": "DAMAGED"}
_WRONG_LOGIN = {"username": "{name}", "password": PASSWORD}
_USER = {"username": "{name}", "password": PASSWORD, "role": "STAFF"}

TABLETS = [
    # What is wrong with a request is 400 there.
    *(replace(line, answer=400) if line.answer == 422 else line for line in LOGIN),
    Line("GET", "/health", OPEN),
    Line("POST", "/api/auth/login", OPEN, 401, json=_WRONG_LOGIN),
    Line("GET", "/api/auth/verify", SIGNED_IN),
    Line("GET", "/api/auth/me", SIGNED_IN),
    *(Line("GET", f"/api/device{end}", "device.read") for end in ("", "/")),
    *(
        Line("POST", f"/api/device{end}", "device.write", json={"deviceCode": "{name}"})
        for end in ("", "/")
    ),
    Line("PATCH", "/api/device/maintenance-status", "command.send", json=_MENDING),
    Line("GET", _TABLET, "device.read", names=True),
    Line("PUT", _TABLET, "device.write", json={"name": "x"}, names=True),
    Line("DELETE", _TABLET, "device.write", names=True),
    Line("GET", _TABLET + "/history", "device.read", names=True),
    Line("GET", _TABLET + "/location-history", "device.read", names=True),
    Line("GET", _TABLET + "/route", "device.read", names=True),
    Line("POST", _TABLET + "/command", "command.send", json={"action": "WIFI_ON"}, names=True),
    *(Line("GET", f"/api/checkouts{end}", "device.read") for end in ("", "/")),
    *(Line("POST", f"/api/checkouts{end}", "command.send", json=_LENDING) for end in ("", "/")),
    Line("GET", _CHECKOUT, "device.read", names=True),
    Line("POST", _CHECKOUT + "/return", "command.send", 400, json={"itemIds": [0]}, names=True),
    Line("POST", _CHECKOUT + "/cancel", "command.send", json={}, names=True),
    *(Line("GET", f"/api/user{end}", "account.manage") for end in ("", "/")),
    *(Line("POST", f"/api/user{end}", "account.manage", json=_USER) for end in ("", "/")),
    Line("GET", "/api/user/audit-logs", "audit.read"),
    Line("GET", "/api/user/{user}", "account.manage", names=True),
    Line("PUT", "/api/user/{user}", "account.manage", json={"fullName": "x"}, names=True),
    Line("DELETE", "/api/user/{user}", "account.manage", names=True),
    Line(
        "POST",
        "/api/user/{user}/change-password",
        "account.manage",
        json={"newPassword": PASSWORD},
        names=True,
    ),
]

_MACHINE = "/api/machines/{machine}"
_ONE_OF = {"order_id": "{order}"}
_SALE = {"slot_id": 1, "payment_method": "qris"}
_SALES = {"items": [{"slot_id": 1}], "payment_method": "qris"}
_RESTOCK = {"slot_id": "{slot}", "quantity": 1, "change_type": "RESTOCK"}
_LEVEL = {"slots": [{"slot_number": 1, "level": "LOW"}]}
_TELEMETRY = {"machine_id": "{machine}", "data": {"temperature": 4}}

# Without a payment gateway nobody can buy anything: a sandbox is for development.
VENDING = [
    *(line for line in LOGIN if not line.path.endswith("/change-password")),
    Line(
        "POST",
        "/api/v1/auth/change-password",
        SIGNED_IN,
        400,  # as 422 is said here
        json={"old_password": "wrong", "new_password": "x"},
    ),
    Line("GET", "/health", OPEN),
    Line("POST", "/api/auth/login", OPEN, 401, json={"username": "x", "password": PASSWORD}),
    Line("POST", "/api/auth/machine", OPEN, 401, json={"machine_id": "x", "token": "x"}),
    Line("GET", "/api/auth/me", SIGNED_IN),
    Line("GET", "/api/products", OPEN),
    Line("GET", "/api/products/all", OPEN),
    Line("GET", "/api/products/available", OPEN),
    Line("POST", "/api/products", "device.write", 201, json={"name": "{name}", "price": 1}),
    Line("PUT", "/api/products/{product}", "device.write", json={"price": 2}, names=True),
    Line("DELETE", "/api/products/{product}", "device.write", names=True),
    Line("POST", "/api/orders", OPEN, 503, json=_SALE),
    Line("POST", "/api/orders/multi", OPEN, 503, json=_SALES),
    Line("GET", "/api/orders/{order}", OPEN),
    Line("GET", "/api/orders/machine/{machine}", "device.read", names=True),
    Line("POST", "/api/payments/webhook", OPEN, 400, json={"order_id": "{order}"}),
    Line("POST", "/api/payments/verify/{order}", OPEN),
    Line("PATCH", "/api/payments/method/{order}", OPEN, json={"payment_method": "va"}),
    Line("POST", "/api/payments/cancel/{order}", OPEN),
    Line("GET", "/api/payments/{order}", OPEN),
    Line("POST", "/api/payments/refund/{order}", "command.send", 400, names=True),
    Line("GET", "/api/payments/sandbox/{order}", OPEN, 404),
    Line("POST", "/api/payments/sandbox/{order}", OPEN, 404, query={"action": "pay"}),
    Line("POST", "/api/dispense/trigger", "command.send", 400, json=_ONE_OF, names=True),
    Line("POST", "/api/dispense/multi", "command.send", 400, json=_ONE_OF, names=True),
    Line("POST", "/api/dispense/retry", "command.send", 400, json=_ONE_OF, names=True),
    Line(
        "POST",
        "/api/dispense/confirm",
        "command.send",
        404,  # nothing of it was to be dispensed
        json={**_ONE_OF, "success": True},
        names=True,
    ),
    Line("GET", "/api/dispense/status/{order}", "device.read", names=True),
    Line("GET", "/api/dispense/logs/{machine}", "device.read", names=True),
    Line("GET", "/api/stock/{machine}", "device.read", names=True),
    Line("GET", "/api/stock/logs/{machine}", "device.read", names=True),
    Line("POST", "/api/stock/update", "command.send", json=_RESTOCK, names=True),
    Line("POST", "/api/stock/report/{machine}", "message.publish", json=_LEVEL, names=True),
    Line("GET", "/api/machines", "device.read"),
    Line("POST", "/api/machines", "device.write", 201, json={"machine_id": "{name}"}),
    Line("GET", _MACHINE, "device.read", names=True),
    Line("POST", _MACHINE + "/status", "command.send", json={"status": "ONLINE"}, names=True),
    Line("PUT", _MACHINE + "/config", "device.write", json={"motorTimeout": 1}, names=True),
    Line("GET", _MACHINE + "/stats", "device.read", names=True),
    Line(
        "POST",
        _MACHINE + "/slots/assign",
        "device.write",
        json={"slot_number": 1, "product_id": None},
        names=True,
    ),
    Line("POST", "/api/telemetry", "message.publish", json=_TELEMETRY, names=True),
    Line("GET", "/api/telemetry/{machine}", "device.read", names=True),
    Line("GET", "/api/telemetry/{machine}/latest", "device.read", names=True),
    Line("GET", "/api/telemetry/{machine}/summary", "device.read", names=True),
    Line(
        "POST",
        "/api/temperature/log",
        "message.publish",
        json={"machine_id": "{machine}", "value": 4},
        names=True,
    ),
    Line("GET", "/api/temperature/{machine}", "device.read", names=True),
    Line("POST", "/api/machine-data", "message.publish", json=_TELEMETRY, names=True),
    Line("GET", "/api/machine-data/latest", "device.read"),
    Line("GET", "/api/machine-data/today", "device.read"),
    Line("GET", "/api/machine-data/machine/{machine}", "device.read", names=True),
    Line("GET", "/api/machine-data/stats/{machine}", "device.read", names=True),
    Line("GET", "/api/finance/summary", "device.read"),
]

_MEMBER = "/mqtt/rooms/{chat_room}/members/{member}"
_TALK = {"topic": "test/{name}", "payload": {"text": "hello"}}

MESSAGING = [
    *(replace(line, answer=400) if line.answer == 422 else line for line in LOGIN),
    Line("GET", "/mqtt/health", OPEN),
    Line("GET", "/mqtt/status", SIGNED_IN),
    Line("GET", "/mqtt/stats", SIGNED_IN),
    # What a topic allows is proved in tests/apps/messaging/test_rights.py.
    Line("POST", "/mqtt/publish", SIGNED_IN, json=_TALK),
    Line("POST", "/mqtt/subscribe", SIGNED_IN, 201, json={"topic": "test/{name}"}),
    Line("DELETE", "/mqtt/unsubscribe/{subscription}", SIGNED_IN, names=True),
    Line("GET", "/mqtt/subscriptions", SIGNED_IN),
    Line("GET", "/mqtt/subscriptions/all", "account.manage"),
    Line(
        "POST",
        "/mqtt/broadcast",
        SIGNED_IN,
        json={"topic": "broadcast/{name}", "message": {"text": "hello"}},
    ),
    Line("GET", "/mqtt/history", SIGNED_IN, query={"topic": "chat/#"}),
    Line("GET", "/mqtt/rooms", "account.manage"),
    Line("PUT", "/mqtt/rooms/{name}/members/{name}", "account.manage"),
    Line("DELETE", _MEMBER, "account.manage", names=True),
]

LISTENERS = {
    "platform": PLATFORM,
    "medical": MEDICAL,
    "messaging": MESSAGING,
    "tablets": TABLETS,
    "vending": VENDING,
}
PREFIXES = dict.fromkeys(LISTENERS, ("",)) | {"medical": ("", "/mqtt")}

DOCUMENTATION = (
    "/openapi.json",
    "/docs",
    "/docs/oauth2-redirect",
    "/redoc",
    "/static-offline-docs",
)


@dataclass(frozen=True)
class Channel:
    """A live channel. `speaks` is the form of its talk, which a client in test_channels knows.

    `needs` are permissions of which one is enough.
    """

    listener: str
    path: str
    speaks: str
    needs: tuple[str, ...] = ("telemetry.read", "device.read")

    @property
    def id(self) -> str:
        """How the channel is called in the report."""
        return f"{self.listener} {self.path}"


# Channels that are open to whoever knows an id that cannot be guessed: vending's rooms of orders.
OPEN_CHANNELS = ("/ws/order:{order_id}",)

# Whose Socket.IO has a root namespace of its own, proved in its app's tests and in
# tests/web/revocation/test_spaces.py and test_kiosks.py.
OWN_ROOT = ("farm", "vending")

CHANNELS = [
    *(
        Channel(listener, path, speaks)
        for listener in LISTENERS
        for path, speaks in (
            ("/api/v1/realtime/events", "sse"),
            ("/api/v1/realtime/ws", "websocket"),
            ("/socket.io/", "socket.io"),
        )
        if speaks != "socket.io" or listener not in OWN_ROOT
    ),
    *(
        Channel("medical", prefix + "/ws/mqtt", "medical", ("telemetry.read",))
        for prefix in PREFIXES["medical"]
    ),
    Channel("tablets", "/ws", "tablets", ("telemetry.read",)),
]
