"""The farm app: organisations, areas, sensors with variables, devices with states."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from fleetwire.apps.farm import chains, retention
from fleetwire.apps.farm.endpoints import (
    auth,
    datastreams,
    devices,
    health,
    page,
    people,
    places,
    reports,
    rule_nodes,
    rules,
    sensors,
    states,
    telemetry as telemetry_endpoints,
)
from fleetwire.apps.farm.endpoints.tokens import token_routes
from fleetwire.apps.farm.errors import ERRORS
from fleetwire.apps.farm.realtime import Live
from fleetwire.apps.farm.rows import encoded
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.states import COMMAND, shown_state
from fleetwire.apps.farm.statuses import receive_status
from fleetwire.apps.farm.streams import receive_streams
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import App, Coap, Listener

ROOT = "/api/v1"
# In `devices/{uuid}/…` the uuid is a sensor's or a device's; all of these stand in the field.
PREFIXES = (
    "devices/{device_id}",
    "device/{device_id}",
    "orgs/{organization_id}/devices/{device_id}",
)
BROADCAST = "organizations/{organization_id}/broadcast"


def configure(settings: Mapping[str, str]) -> App:
    """Return the app by these settings: see Terms. Raises SettingsError."""
    return create(Terms.of(settings))


def create(terms: Terms) -> App:
    """Return the app on these terms."""
    app = App(
        APP,
        listener=Listener(
            3000,
            "Fleetwire farm",
            "Farms: organizations, areas, sensors and their values, devices and their states.",
        ),
        publishes=[
            *(f"{prefix}/{what}" for prefix in PREFIXES for what in ("datastream", "status")),
            BROADCAST,
        ],
        subscribes=[
            *(
                f"{prefix}/{what}"
                for prefix in PREFIXES
                for what in ("commands", "state", "datastream")
            ),
            BROADCAST,
            "organizations/{organization_id}/rule-chains",
        ],
        command_topics=["devices/{device_id}/commands", "device/{device_id}/commands"],
        command_topics_by_name={COMMAND: ["devices/{device_id}/state", "device/{device_id}/state"]},
        command_payload=_command_payload,
        token_fields=("token", "accessToken"),
        coap=Coap(
            receives=tuple(
                f"{prefix}/{what}" for prefix in PREFIXES for what in ("datastream", "status")
            ),
            named_by={"datastreams": ("deviceUuid", "devices/{device_id}/datastream")},
            shows={"devices/{device_id}/state": shown_state},
            commands=("devices/{device_id}/commands",),
        ),
        topic_attributes=("organization_id",),
        migrations="fleetwire.apps.farm:migrations/versions",
        error_form=ERRORS,
        signs_in=True,
    )
    for prefix in PREFIXES:
        app.subscribe(f"{prefix}/datastream")(receive_streams)
        app.subscribe(f"{prefix}/status")(receive_status)
    for router in routers_of(terms):
        root = APIRouter(prefix=ROOT)
        root.include_router(router)
        app.include(root)
    for router in (*health.health_routes(), page.page_routes()):
        app.include(router)
    Live(terms).add_to(app)
    chains.add_to(app, terms)
    retention.add_to(app, terms.keep_days)
    return app


def routers_of(terms: Terms) -> list[APIRouter]:
    """Return the routes under the root. Literal paths come before those with a number in them."""
    return [
        auth.router,
        places.router,
        sensors.router,
        devices.router,
        telemetry_endpoints.router,
        *token_routes(),
        *datastreams.stream_routes(),
        *states.state_routes(terms),
        rule_nodes.router,
        rules.router,
        reports.router,
        people.router,
    ]


def _command_payload(name: str, parameters: dict[str, Any]) -> bytes:
    """Return `{"command", "parameters"}`."""
    return encoded({"command": name, "parameters": parameters})


app = configure({})

__all__ = ["app", "configure", "create"]
