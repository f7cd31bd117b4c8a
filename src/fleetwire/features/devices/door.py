"""Door: the one authenticator of the house; asks whoever a client's credentials belong to."""

import asyncio

import structlog

from fleetwire.broker.grants import Grant
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.key_grants import KeyGrants
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.people import PersonGrants
from fleetwire.net.authenticator import Authenticator, Exchange, Offer

log = structlog.get_logger("fleetwire.devices")

FLUSH_S = 5.0  # how late `last_used_at` may be; a fleet that reconnects costs one transaction


class Door(Authenticator):
    """Knows services by their key, people by their access token, devices by what they have."""

    def __init__(self, devices: DeviceAuthenticator, keys: ApiKeys, people: PersonGrants) -> None:
        self._devices = devices
        self._keys = keys
        self._key_grants = KeyGrants(keys, person_grant=people.grant_for)
        self._people = people

    async def authenticate(self, offer: Offer) -> Grant:
        if self._key_grants.is_for(offer):
            return self._key_grants.grant(offer)
        if self._people.is_for(offer):
            return await self._people.grant(offer)
        return await self._devices.authenticate(offer)

    def begin(self, method: str, offer: Offer) -> Exchange:
        return self._devices.begin(method, offer)

    def stands(self, grant: Grant) -> bool:
        return self._devices.stands(grant)

    async def run(self) -> None:
        """Store when keys and credentials were last used, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except StoreUnavailableError as error:
                log.warning("last use of credentials is not stored yet", reason=str(error))

    async def flush(self) -> None:
        """Store when keys and credentials were last used.

        Raises StoreUnavailableError; nothing is lost then.
        """
        await self._keys.flush()
        await self._devices.flush()
