"""The vending app: machines, products and stock, orders and payments, dispensing."""

import json
from collections.abc import Mapping
from typing import Any

from fleetwire.apps.vending import endpoints, errors, handlers, life
from fleetwire.apps.vending.demo import add_demo
from fleetwire.apps.vending.gateways import Gateway, Midtrans, Sandbox
from fleetwire.apps.vending.terms import MIDTRANS, Terms
from fleetwire.kit import App, ErrorForm, Listener


def configure(settings: Mapping[str, str]) -> App:
    """Return the app by these settings: see Terms. Raises SettingsError."""
    return create(Terms.of(settings))


def create(terms: Terms) -> App:
    """Return the app on these terms."""
    gateway: Gateway = Midtrans(terms) if terms.gateway == MIDTRANS else Sandbox(terms)
    app = App(
        "vending",
        listener=Listener(
            3001,
            "Fleetwire vending",
            "Vending machines: products, stock, orders, payments, dispensing.",
        ),
        publishes=["vm/{device_id}/telemetry", "vm/{device_id}/status", RESULTS],
        subscribes=["vm/{device_id}/command", "vm/{device_id}/dispend", "vm/{device_id}/config"],
        # Newer machines listen on the second, whose name is misspelt in the field.
        command_topics=["vm/{device_id}/command", "vm/{device_id}/dispend"],
        command_payload=_command_payload,
        answers_commands=True,
        migrations="fleetwire.apps.vending:migrations/versions",
        error_form=ErrorForm(of=errors.form, schema=errors.SCHEMA),
    )
    app.subscribe("vm/{device_id}/telemetry")(handlers.receive_telemetry)
    app.subscribe("vm/{device_id}/status")(handlers.receive_status)
    app.subscribe(RESULTS)(handlers.receive_result)
    endpoints.add_to(app, terms, gateway)
    life.add_to(app, terms, gateway)
    app.demo(add_demo)
    return app


RESULTS = "vm/{device_id}/dispense_result"


def _command_payload(name: str, parameters: dict[str, Any]) -> bytes:
    """Return `{"cmd": …}` without a byte too many: machines read packets of 256 bytes."""
    return json.dumps({"cmd": name, **parameters}, separators=(",", ":")).encode()


app = configure({})

__all__ = ["app", "configure", "create"]
