"""PersonGrants: what a person may do who sends an access token as MQTT password.

People see what the devices of their organisation publish and read; operators and those above them
also publish to what the devices read. Nobody but a device publishes as one.

Where the devices belong to several organisations a person's rights name each device of his own, as
they were when he connected. Apps may share topics, so it counts whose the devices of all apps are.
"""

from collections.abc import Iterable, Iterator, Mapping

from fleetwire.broker.grants import Grant
from fleetwire.errors import ForbiddenError, UnauthenticatedError
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.devices.registry import Registry
from fleetwire.kit.app import App
from fleetwire.kit.services import Caller
from fleetwire.net.authenticator import Offer, RefusedError
from fleetwire.net.rights import granted
from fleetwire.protocol.constants import BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED, QUOTA_EXCEEDED

MAX_DEVICES = 1_000  # each has rights of its own, which are looked at for a new topic
_DEVICE = "{device_id}"


class PersonGrants:
    """Asks the accounts whom a token speaks of."""

    def __init__(self, accounts: Accounts, registry: Registry, apps: Mapping[str, App]) -> None:
        self._accounts = accounts
        self._registry = registry
        self._apps = apps

    def is_for(self, offer: Offer) -> bool:
        """Say whether the password looks like an access token (JWT)."""
        password = offer.password
        return password is not None and password.startswith(b"eyJ") and password.count(b".") == 2

    async def grant(self, offer: Offer) -> Grant:
        """Return what the person may do, until the token expires.

        Raises RefusedError, and KeysUnavailableError if outside tokens cannot be checked now.
        """
        token = (offer.password or b"").decode(errors="replace")
        try:
            caller, expires_at = await self._accounts.identify(token, offer.remote)
        except UnauthenticatedError as error:
            raise RefusedError(error.message, BAD_USER_NAME_OR_PASSWORD) from None
        except ForbiddenError as error:
            raise RefusedError(error.message, NOT_AUTHORIZED) from None
        return self.grant_for(caller, offer, expires_at)

    def grant_for(self, caller: Caller, offer: Offer, expires_at: int = 0) -> Grant:
        """Return what a client may do that was found to be this person. Raises RefusedError."""
        values = {
            "client_id": offer.client_id,
            "username": caller.username,
            "organization": str(caller.organization_id),
            "role": caller.role,
        }
        publish: list[str] = []
        subscribe: list[str] = []
        for app in self._apps.values():
            read = list(self._named(app, app.subscribes, caller))
            if "message.read" in caller.permissions:
                subscribe += [*self._named(app, app.publishes, caller), *read]
            if "message.publish" in caller.permissions:
                publish += read
        return Grant(
            caller.actor,
            granted(dict.fromkeys(publish), values, caller.actor, offer.remote),
            granted(dict.fromkeys(subscribe), values, caller.actor, offer.remote),
            organization_id=caller.organization_id,
            expires_at=expires_at,
        )

    def _named(self, app: App, templates: Iterable[str], caller: Caller) -> Iterator[str]:
        """Yield templates with the caller's own devices in the place of `{device_id}`."""
        names = ["+"]
        if self._registry.has_others(caller.organization_id):
            own = self._registry.of_organization(app.name, caller.organization_id)
            if len(own) > MAX_DEVICES:
                raise RefusedError(
                    f"more than {MAX_DEVICES} devices of {app.name!r} are your organisation's, and "
                    "others are somebody else's: that is too much to tell apart here",
                    QUOTA_EXCEEDED,
                )
            names = [device.device_id for device in own]
        for template in templates:
            levels = template.split("/")
            if _DEVICE not in levels:
                continue  # of no device, so of nobody's organisation
            for name in names:
                yield "/".join([name if level == _DEVICE else level for level in levels])
