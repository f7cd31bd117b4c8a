"""Rights: what a client would be found to be if it connected now, by the door's own code."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from fleetwire.broker.grants import Grant
from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.key_grants import KeyGrants
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.people import PersonGrants
from fleetwire.features.devices.registry import Registry
from fleetwire.kit.app import App
from fleetwire.kit.services import Caller
from fleetwire.net.authenticator import Offer, RefusedError

ANONYMOUS: Final = "anonymous"
LISTENERS: Final = ("tcp", "tls", "ws", "wss", "unix")


class Known(msgspec.Struct):
    """What is known of an identity.

    `grant` is what it may do once it is let in, None if there is nothing to say; `refusal` is why
    it would not be let in, "" if it would. `publishes` and `subscribes` are the rights as somebody
    gave them, with places; `given_by` says who. `role` and `person` are a person's, `credential`
    is what it would be let in with.
    """

    organization_id: int
    given_by: str
    grant: Grant | None = None
    refusal: str = ""
    credential: str | None = None
    role: str | None = None
    person: Caller | None = None
    publishes: Sequence[str] = ()
    subscribes: Sequence[str] = ()


class Rights:
    """Asks the registry, the accounts and the keys, all from memory.

    `find_person` returns an account as one who asks in an organisation (None: in his oldest);
    `is_anonymous_allowed` says whether a listener lets in clients without credentials.
    """

    def __init__(
        self,
        devices: DeviceAuthenticator,
        registry: Registry,
        apps: Mapping[str, App],
        people: PersonGrants,
        find_person: Callable[[int, int | None], Caller | None],
        keys: ApiKeys,
        is_anonymous_allowed: Callable[[str], bool],
    ) -> None:
        self._devices = devices
        self._registry = registry
        self._apps = apps
        self._people = people
        self._find_person = find_person
        self._keys = keys
        self._key_grants = KeyGrants(keys, person_grant=people.grant_for)
        self._is_anonymous_allowed = is_anonymous_allowed

    def find(
        self, identity: str, client_id: str, listener: str, organization_id: int | None = None
    ) -> Known:
        """Return what is known of `device:app/name`, `account:17`, `key:3` or `anonymous`.

        A person may be a member of several organisations: `organization_id` says as which.
        Raises NotFoundError, InvalidValueError if it is none of these.
        """
        kind, _, name = identity.partition(":")
        if identity == ANONYMOUS:
            return self._anonymous(self._offer(client_id, listener))
        if kind == "device" and "/" in name:
            app, _, device_id = name.partition("/")
            return self._device(app, device_id, self._offer(client_id or device_id, listener))
        number = name.partition("/")[0]
        # More digits than a key of the database has would only be work.
        if number.isascii() and number.isdigit() and len(number) <= 18:
            if kind == "account":
                offer = self._offer(client_id, listener)
                return self._person(int(number), organization_id, offer)
            if kind == "key":
                return self._key(int(number), self._offer(client_id, listener))
        raise InvalidValueError(
            "identity must be device:<app>/<device_id>, account:<number>, key:<number> or "
            "anonymous",
            field="identity",
        )

    def _offer(self, client_id: str, listener: str) -> Offer:
        return Offer(client_id, None, None, "", self._is_anonymous_allowed(listener))

    def _anonymous(self, offer: Offer) -> Known:
        known = Known(0, "the listener")
        try:
            known.grant = self._devices.grant_of_anonymous(offer)
            known.publishes, known.subscribes = known.grant.publish, known.grant.subscribe
        except RefusedError as error:
            known.refusal = error.reason
        return known

    def _device(self, app_name: str, device_id: str, offer: Offer) -> Known:
        device = self._registry.find(app_name, device_id)
        if device is None:
            raise _not_found(f"device:{app_name}/{device_id}")
        app = self._apps.get(app_name)
        known = Known(device.organization_id, f"the app {app_name!r}", role="device")
        if app is not None:
            known.publishes, known.subscribes = self._devices.topics_of(app, device)
        try:
            known.grant = self._devices.grant_for(device, offer)
        except RefusedError as error:
            known.refusal = error.reason
            return known
        refusals = []
        # The newest first: that is the one a device should be using.
        for credential in reversed(self._registry.credentials_of(device)):
            try:
                known.grant = self._devices.grant_of(credential, offer)
            except RefusedError as error:
                refusals.append(f"{error.reason} ({credential.id})")
            else:
                known.credential = f"credential {credential.id}"
                return known
        known.refusal = "; ".join(refusals[:10]) or "it has no credential"
        return known

    def _person(self, account_id: int, organization_id: int | None, offer: Offer) -> Known:
        caller = self._find_person(account_id, organization_id)
        if caller is None:
            raise _not_found(f"account:{account_id}")
        known = Known(caller.organization_id, "the role", role=caller.role, person=caller)
        known.credential = "an access token"
        known.publishes, known.subscribes = self._of_people()
        try:
            known.grant = self.of_person(caller, offer.client_id)
        except RefusedError as error:
            known.refusal = error.reason
        return known

    def _of_people(self) -> tuple[list[str], list[str]]:
        """Return what people may publish and subscribe to, as far as their role lets them."""
        apps = self._apps.values()
        read = [each for app in apps for each in app.subscribes]
        return read, [each for app in apps for each in (*app.publishes, *app.subscribes)]

    def of_person(self, caller: Caller, client_id: str) -> Grant:
        """Return what a person may do. Raises RefusedError."""
        return self._people.grant_for(caller, Offer(client_id, None, None, "", False))

    def _key(self, key_id: int, offer: Offer) -> Known:
        key = self._keys.by_id(key_id)
        if key is None:
            raise _not_found(f"key:{key_id}")
        known = Known(key.organization_id, f"the key {key.name!r}", role=key.kind)
        known.publishes, known.subscribes = key.publish, key.subscribe
        if key.account_id is not None:
            known.publishes, known.subscribes = self._of_people()
        known.credential = f"key {key.id}"
        try:
            known.grant = self._key_grants.grant_for(key, offer)
        except RefusedError as error:
            known.refusal = error.reason
        return known


def _not_found(identity: str) -> NotFoundError:
    return NotFoundError(f"There is no {identity[:200]!r} in your organisation.", field="identity")
