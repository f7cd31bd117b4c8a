"""For every route: 401 without credentials, 403 with too little, 404 for another organisation."""

from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import insert

from fleetwire.features.organizations.tables import organizations
from fleetwire.testing import TestHub
from tests.apps.farm.barn import ROOT, Barn
from tests.routes.things import OURS, THEIRS, TableGate, bearer

VIEW, VALUES, WRITE = "device.read", "telemetry.read", "device.write"
COMMAND, MANAGE, PUBLISH = "command.send", "account.manage", "message.publish"
NAMED = True
_NAME = {"name": "x"}
_SET = {"deviceUuid": "pump-1", "stateName": "power", "value": "on"}
_STATE = {"deviceId": "{device}", "stateName": "other"}
_VALUE = {"value": 1, "telemetryDataId": "{telemetry}"}
_ACTION = {"type": "ALARM", "alarm": {"deviceUuid": "s-1", "name": "x", "message": "x"}}
_NODE = {"type": "action", "config": _ACTION}
_USER = {"userId": 1, "role": "Viewer"}
_SIGNUP = {"name": "x", "email": "x@x.example", "password": "correct horse battery"}

# Method, path, what it needs, body, and whether it names something of an organisation.
LINES: list[tuple[str, str, str, Any, bool]] = [
    ("POST", "/auth/signup", MANAGE, _SIGNUP, False),
    *(
        line
        for plural, thing, body in (
            ("organizations", "organization", _NAME),
            ("areas", "area", _NAME),
            ("sensors", "sensor", _NAME),
            ("devices", "device", _NAME),
            ("telemetry", "telemetry", {"variableName": "x", "sensorId": "{sensor}"}),
            ("device-states", "state", _STATE),
        )
        for line in (
            ("GET", f"/{plural}", VIEW, None, False),
            ("POST", f"/{plural}", WRITE, body, body is not _NAME),
            ("GET", f"/{plural}/{{{thing}}}", VIEW, None, NAMED),
            ("PATCH", f"/{plural}/{{{thing}}}", WRITE, {}, NAMED),
            ("PUT", f"/{plural}/{{{thing}}}", WRITE, {}, NAMED),
            ("DELETE", f"/{plural}/{{{thing}}}", WRITE, None, NAMED),
        )
    ),
    ("POST", "/organizations/{organization}/broadcast", COMMAND, {"message": "x"}, NAMED),
    ("POST", "/devices/{device}/commands", COMMAND, {"command": "restart"}, NAMED),
    ("GET", "/device-states/device/{device}", VIEW, None, NAMED),
    ("POST", "/device-state-instances", COMMAND, _SET, NAMED),
    ("GET", "/device-state-instances/current/{state}", VIEW, None, NAMED),
    ("GET", "/device-state-instances/history/{state}", VIEW, None, NAMED),
    *(
        line
        for prefix in ("/device-tokens", "/devicetokens", "/devicetoken")
        for line in (
            ("GET", prefix, VIEW, None, False),
            ("POST", prefix, WRITE, {"sensorId": "{sensor}"}, NAMED),
            ("GET", prefix + "/{token}", VIEW, None, NAMED),
            ("PATCH", prefix + "/{token}", WRITE, None, NAMED),
            ("DELETE", prefix + "/{token}", WRITE, None, NAMED),
        )
    ),
    *(
        line
        for prefix in ("/datastreams", "/data-streams")
        for line in (
            ("GET", prefix, VALUES, None, False),
            ("POST", prefix, PUBLISH, _VALUE, NAMED),
            ("GET", prefix + "/telemetry/{telemetry}", VALUES, None, NAMED),
            ("GET", prefix + "/{stream}", VALUES, None, NAMED),
            ("PATCH", prefix + "/{stream}", WRITE, {}, NAMED),
            ("PUT", prefix + "/{stream}", WRITE, {}, NAMED),
            ("DELETE", prefix + "/{stream}", WRITE, None, NAMED),
        )
    ),
    ("GET", "/rule-chains", VALUES, None, False),
    ("POST", "/rule-chains", WRITE, _NAME, False),
    ("GET", "/rule-chains/nodes", VALUES, None, False),
    ("POST", "/rule-chains/nodes", WRITE, {"ruleChainId": "{chain}", **_NODE}, NAMED),
    ("GET", "/rule-chains/nodes/{node}", VALUES, None, NAMED),
    ("PATCH", "/rule-chains/nodes/{node}", WRITE, {}, NAMED),
    ("PUT", "/rule-chains/nodes/{node}", WRITE, {}, NAMED),
    ("DELETE", "/rule-chains/nodes/{node}", WRITE, None, NAMED),
    ("GET", "/rule-chains/{chain}", VALUES, None, NAMED),
    ("PATCH", "/rule-chains/{chain}", WRITE, {}, NAMED),
    ("PUT", "/rule-chains/{chain}", WRITE, {}, NAMED),
    ("DELETE", "/rule-chains/{chain}", WRITE, None, NAMED),
    ("GET", "/rule-chains/{chain}/nodes", VALUES, None, NAMED),
    ("POST", "/rule-chains/{chain}/nodes", WRITE, _NODE, NAMED),
    ("GET", "/rule-chains/{chain}/executions", VALUES, None, NAMED),
    ("POST", "/rule-chains/{chain}/execute", COMMAND, None, NAMED),
    ("POST", "/rule-chains/{chain}/trigger", COMMAND, None, NAMED),
    *(
        ("GET", f"/reports/{kind}", VALUES, None, False)
        for kind in (
            "device-status",
            "sensor-telemetry",
            "organization-hierarchy",
            "area-utilization",
            "rule-chain-execution",
            "sensor-anomaly",
        )
    ),
    ("GET", "/roles", MANAGE, None, False),
    ("GET", "/roles/1", MANAGE, None, False),
    ("GET", "/permissions", MANAGE, None, False),
    ("GET", "/user-roles", MANAGE, None, False),
    ("POST", "/user-roles", MANAGE, _USER, NAMED),
    ("GET", "/user-roles/1", MANAGE, None, NAMED),
    ("PATCH", "/user-roles/1", MANAGE, {"role": "Viewer"}, NAMED),
    ("PUT", "/user-roles/1", MANAGE, {"role": "Viewer"}, NAMED),
    ("DELETE", "/user-roles/1", MANAGE, None, NAMED),
    ("GET", "/mqtt/stats", "broker.read", None, False),
    ("GET", "/metrics/prometheus", "broker.read", None, False),
]
SIGNED_IN = {("POST", "/auth/logout"), ("GET", "/auth/me")}
# What opens these is not a person's token.
OPEN = {
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh-token"),
    ("POST", "/auth/forgot-password"),
    ("POST", "/auth/reset-password"),
    ("GET", "/health"),
    ("GET", "/health/liveness"),
    ("GET", "/health/readiness"),
    *(("GET", f"/{name}/verify") for name in ("device-tokens", "devicetokens", "devicetoken")),
    *(
        ("POST", f"/{name}/{what}")
        for name in ("datastreams", "data-streams")
        for what in ("token", "batch")
    ),
}


@pytest.fixture
async def things(hub: TestHub) -> dict[str, Any]:
    """The numbers of one thing of each kind; from now on tokens are made up, see TableGate."""
    barn = Barn(hub)
    sensor = await barn.sensor("temperature")
    device = await barn.device("pump-1")
    area = (await barn.good("POST", "/areas", {"name": "Greenhouse"}))["area"]
    state = await barn.state(device)
    await barn.token(sensorId=sensor["id"])
    [token] = (await barn.good("GET", "/device-tokens"))["tokens"]
    body = {"value": 1, "telemetryDataId": sensor["temperature"]}
    stream = await barn.good("POST", "/datastreams", body)
    body = {"name": "ours-chain", "nodes": [{"type": "filter", "config": _FILTER}]}
    chain = (await barn.good("POST", "/rule-chains", body))["ruleChain"]
    theirs = {"id": THEIRS, "name": "Theirs", "created_at": 1}
    await hub.house.database.write(lambda tx: tx.execute(insert(organizations).values(theirs)))
    hub.house.listeners.applications["farm"].state.gate = TableGate()
    return {
        "organization": sensor["organizationId"],
        "area": area["id"],
        "sensor": sensor["id"],
        "device": device["id"],
        "telemetry": sensor["temperature"],
        "state": state["id"],
        "token": token["id"],
        "stream": stream["id"],
        "chain": chain["id"],
        "node": chain["nodes"][0]["id"],
    }


_FILTER = {
    "sourceType": "sensor",
    "UUID": "s-1",
    "key": "temperature",
    "operator": ">",
    "value": 1,
}


async def ask(
    hub: TestHub, things: dict[str, Any], line: tuple[str, str, str, Any, bool], headers: Any
) -> Any:
    method, path, _, body, _ = line
    if isinstance(body, dict):
        body = {name: _filled(value, things) for name, value in body.items()}
    http = hub.http(token="")
    return await http.request(method, ROOT + path.format(**things), json=body, headers=headers)


def _filled(value: Any, things: dict[str, Any]) -> Any:
    return things[value[1:-1]] if isinstance(value, str) and value[:1] == "{" else value


async def test_every_route_has_its_line(hub: TestHub) -> None:
    hub.http()
    app = hub.house.listeners.applications["farm"]
    told = {(method, path) for method, path, *_ in LINES} | SIGNED_IN | OPEN
    found = set()
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        if path.startswith(ROOT) and "realtime" not in path:
            found |= {(method, _shape(path)) for method in route.methods or ()}
    assert found == {(method, _shape(ROOT + path)) for method, path in told}


async def test_without_credentials_it_is_401(hub: TestHub, things: dict[str, Any]) -> None:
    for line in LINES:
        if line[1] == "/metrics/prometheus":
            continue  # in development open to this machine
        answer = await ask(hub, things, line, {})
        assert answer.status_code == 401, line
        assert answer.json()["status"] == "fail"


async def test_with_everything_but_its_permission_it_is_403(
    hub: TestHub, things: dict[str, Any]
) -> None:
    for line in LINES:
        answer = await ask(hub, things, line, bearer(OURS, without=line[2]))
        assert answer.status_code == 403, (line, answer.text)


async def test_for_another_organisation_it_is_404_or_shows_nothing(
    hub: TestHub, things: dict[str, Any]
) -> None:
    for line in LINES:
        answer = await ask(hub, things, line, bearer(THEIRS))
        if line[4]:
            assert answer.status_code == 404, (line, answer.text)
        else:
            assert "s-1" not in answer.text, line
            assert "pump-1" not in answer.text, line
            assert "ours-" not in answer.text, line


def _shape(path: str) -> str:
    """Return the path with whatever stands for a number alike."""
    return "/".join(
        "{}" if level.startswith("{") or level.isdigit() else level
        for level in path.removeprefix(ROOT).split("/")
    )
