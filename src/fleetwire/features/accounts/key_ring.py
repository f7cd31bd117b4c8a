"""KeyRing: the keys in memory, as they are asked for when somebody comes with one."""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts import api_key_repository as repository
from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.key_rules import FOR_PEOPLE_ONLY
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit import instants
from fleetwire.kit.services import Caller
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database

PREFIX = "fwk_"  # tells a key's token from other passwords, and finds one in a file it leaked to

FindPerson = Callable[[int, int | None], Caller | None]


class KeyRing:
    """Says whose a token is.

    `find_person` returns who an account is in an organisation, with what he may do now; None if he
    has no access there.
    """

    def __init__(
        self,
        db: Database,
        audit: SqlAudit,
        downlink: Downlink,
        clock: Callable[[], int] = instants.now,
        *,
        find_person: FindPerson = lambda account_id, organization_id: None,
    ) -> None:
        self._db = db
        self._audit = audit
        self._downlink = downlink
        self._clock = clock
        self._find_person = find_person
        self._by_hash: dict[str, ApiKey] = {}
        self._used: dict[int, int] = {}  # key → when; bounded by how many there are

    async def load(self) -> None:
        """Learn the keys from the database, before anybody signs in."""
        self._by_hash.update(await self._db.read(repository.all_keys))

    def now(self) -> int:
        """Return the instant by which keys end (microseconds UTC)."""
        return self._clock()

    def find(self, token: bytes) -> ApiKey | None:
        """Return the key of this token, also if it expired or was revoked; from memory.

        What a timing could tell is the hash of a guess, which tells nothing of a token.
        """
        return self._by_hash.get(hash_of(token))

    def authenticate(self, token: str, remote: str) -> Caller:
        """Return a key as one who asks over HTTP. Raises UnauthenticatedError."""
        key = self.find(token.encode(errors="replace"))
        if key is None:
            raise UnauthenticatedError("There is no such key.")
        if key.revoked_at is not None:
            raise UnauthenticatedError("This key was revoked.")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise UnauthenticatedError("This key has expired.")
        caller = self.caller_of(key, remote)
        if caller is None:
            raise UnauthenticatedError("Whose key this is has no access here any more.")
        self.note_used(key)
        return caller

    def caller_of(self, key: ApiKey, remote: str) -> Caller | None:
        """Return a key as one who asks, with what it may do now.

        A person's key is never more than he is: None if he has no access any more.
        """
        if key.account_id is None:
            return Caller(
                actor=identity_of(key),
                organization_id=key.organization_id,
                permissions=frozenset(key.permissions),
                role=key.kind,
                remote=remote,
            )
        person = self._find_person(key.account_id, key.organization_id)
        if person is None:
            return None
        return msgspec.structs.replace(
            person,
            actor=identity_of(key),
            permissions=(person.permissions & frozenset(key.permissions)) - FOR_PEOPLE_ONLY,
            remote=remote,
        )

    def person_changed(self, account_id: int, reason: str) -> None:
        """Close what is connected with a person's keys; whoever is still let in comes again."""
        for key in list(self._by_hash.values()):
            if key.account_id == account_id and key.revoked_at is None:
                self._downlink.disconnect_identity(identity_of(key), reason)

    def _forbid(self, concerns: Callable[[ApiKey], bool], at: int) -> None:
        """Take keys as revoked from now on, and close what is connected with them."""
        for token_hash, key in list(self._by_hash.items()):
            if concerns(key):
                if key.revoked_at is None:
                    self._by_hash[token_hash] = msgspec.structs.replace(key, revoked_at=at)
                self._downlink.disconnect_identity(identity_of(key), "revoked")

    def by_id(self, key_id: int) -> ApiKey | None:
        """Return a key by its number, also if it expired or was revoked; from memory."""
        return next((key for key in self._by_hash.values() if key.id == key_id), None)

    def note_used(self, key: ApiKey) -> None:
        """Note that a client signed in with this key; `flush` stores it."""
        self._used[key.id] = self._clock()

    async def flush(self) -> None:
        """Store when keys were last used. Raises StoreUnavailableError; nothing is lost then."""
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._db.write(lambda tx: repository.note_used(tx, list(used.items())))
        except BaseException:
            self._used = used | self._used
            raise


def identity_of(key: ApiKey) -> str:
    """Return how a client with this key is called in a Grant."""
    return f"key:{key.id}/{key.name}"


def hash_of(token: bytes) -> str:
    """Return the form in which a token is stored: SHA-256, hexadecimal."""
    return sha256(token).hexdigest()
