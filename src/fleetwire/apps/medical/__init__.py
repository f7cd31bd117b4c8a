"""The medical app: devices bound to patients, their readings, status and commands."""

from collections.abc import Mapping

from fleetwire.apps.medical import endpoints, handlers, health, messages, realtime
from fleetwire.apps.medical.topics import Topics
from fleetwire.apps.medical.types import declared_types
from fleetwire.kit import App, Listener


def configure(settings: Mapping[str, str]) -> App:
    """Return the app with its topics by these settings: MQTT_TOPIC_DEVICES, _STATUS, _COMMANDS.

    Raises SettingsError naming the setting that is wrong.
    """
    topics = Topics.of(settings)
    app = App(
        "medical",
        listener=Listener(
            8004,
            "Fleetwire medical",
            "Medical devices bound to patients: registration, readings, commands, live events.",
            prefixes=("", "/mqtt"),
        ),
        publishes=[topics.data, topics.status],
        subscribes=[topics.commands],
        command_topic=topics.commands,
        migrations="fleetwire.apps.medical:migrations/versions",
        types=declared_types(),
        flags_readings=True,
        readings_event=handlers.DATA_EVENT,
        readings_topic=topics.data,
    )
    app.subscribe(topics.data)(handlers.receive_data)
    app.subscribe(topics.status)(handlers.report_status)
    app.include(endpoints.routes(topics))
    app.include(messages.router)
    app.include(health.router)
    app.include(realtime.router)
    return app


app = configure({})

__all__ = ["app", "configure"]
