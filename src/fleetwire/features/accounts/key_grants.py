"""KeyGrants: what a client that shows a key may do."""

from collections.abc import Callable

from fleetwire.broker.grants import Grant
from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.key_ring import PREFIX, KeyRing, identity_of
from fleetwire.kit import instants
from fleetwire.kit.services import Caller
from fleetwire.net.authenticator import Offer, RefusedError
from fleetwire.net.rights import granted
from fleetwire.protocol.constants import BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED

_PREFIX = PREFIX.encode()


PersonGrant = Callable[[Caller, Offer, int], Grant]


def _no_person(caller: Caller, offer: Offer, expires_at: int) -> Grant:
    raise RefusedError("keys of people are not served here", NOT_AUTHORIZED)


class KeyGrants:
    """Decides from memory.

    `person_grant` says what a client may do that was found to be a person, who may do this much
    and until then; a person's own key is such a client. It may raise RefusedError.
    """

    def __init__(
        self,
        keys: KeyRing,
        clock: Callable[[], int] = instants.now,
        person_grant: PersonGrant = _no_person,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._person_grant = person_grant

    def is_for(self, offer: Offer) -> bool:
        """Say whether the password looks like the token of a key."""
        return offer.password is not None and offer.password.startswith(_PREFIX)

    def grant(self, offer: Offer) -> Grant:
        """Return what the client may do. Raises RefusedError."""
        key = self._keys.find(offer.password or b"")
        if key is None:
            raise RefusedError("wrong user name or password", BAD_USER_NAME_OR_PASSWORD)
        grant = self.grant_for(key, offer)
        self._keys.note_used(key)
        return grant

    def grant_for(self, key: ApiKey, offer: Offer) -> Grant:
        """Return what a client with this key would be let do, which is no use of it.

        Raises RefusedError.
        """
        if key.revoked_at is not None:
            raise RefusedError("key revoked", NOT_AUTHORIZED)
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise RefusedError("key expired", NOT_AUTHORIZED)
        if key.account_id is not None:
            person = self._keys.caller_of(key, offer.remote)
            if person is None:
                raise RefusedError("whose key this is has no access any more", NOT_AUTHORIZED)
            return self._person_grant(person, offer, key.expires_at or 0)
        identity = identity_of(key)
        values = {
            "client_id": offer.client_id,
            "username": offer.username or "",
            "organization": str(key.organization_id),
            "role": key.kind,
        }
        return Grant(
            identity,
            granted(key.publish, values, identity, offer.remote),
            granted(key.subscribe, values, identity, offer.remote),
            organization_id=key.organization_id,
            expires_at=key.expires_at or 0,
        )
