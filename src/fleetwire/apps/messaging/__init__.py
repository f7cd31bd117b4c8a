"""The messaging app: people's apps publish and subscribe through REST and Socket.IO."""

from collections.abc import Mapping

from fleetwire.apps.messaging import history
from fleetwire.apps.messaging.endpoints import routes
from fleetwire.apps.messaging.errors import ERRORS
from fleetwire.apps.messaging.gateway import Gateway
from fleetwire.apps.messaging.history import Message
from fleetwire.apps.messaging.sockets import space_of
from fleetwire.apps.messaging.tables import TOPIC_CHARS
from fleetwire.apps.messaging.terms import Terms
from fleetwire.kit import (
    App,
    Audit,
    Clock,
    Incoming,
    Listener,
    Messages,
    Mode,
    NotAcceptedError,
    Store,
    Taps,
    Transaction,
)

PRUNE_EVERY_S = 600.0


def configure(settings: Mapping[str, str]) -> App:
    """Return the app by these settings: see Terms. Raises SettingsError."""
    return create(Terms.of(settings))


def create(terms: Terms) -> App:
    """Return the app on these terms."""
    gateway = Gateway(terms)
    app = App(
        "messaging",
        listener=Listener(
            3001,
            "Fleetwire messaging",
            "People's apps publish and subscribe to MQTT topics through REST and Socket.IO.",
        ),
        migrations="fleetwire.apps.messaging:migrations/versions",
        error_form=ERRORS,
    )

    def keep(message: Incoming, tx: Transaction) -> None:
        if len(message.topic) > TOPIC_CHARS:
            raise NotAcceptedError(f"A topic under history has at most {TOPIC_CHARS} characters")
        gateway.keep_in(
            tx,
            Message(
                0,
                message.topic,
                message.payload,
                message.qos,
                message.retain,
                message.received_at,
            ),
        )

    for topic_filter in terms.history:
        app.subscribe(topic_filter)(keep)

    @app.on_start
    async def start(
        store: Store, messages: Messages, taps: Taps, audit: Audit, clock: Clock, mode: Mode
    ) -> None:
        await gateway.open(store, messages, taps, audit, clock, mode.organization_id)

    @app.every(PRUNE_EVERY_S)
    async def prune(store: Store, clock: Clock) -> None:
        before = clock.now() - round(terms.keep_days * 86_400_000_000)
        while await store.write(lambda tx: history.prune(tx, before)) == history.PRUNE_ROWS:
            pass

    app.include(routes(gateway))
    app.include_sockets(space_of(gateway))
    return app


app = configure({})

__all__ = ["app", "configure", "create"]
