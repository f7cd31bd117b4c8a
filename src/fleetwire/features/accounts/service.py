"""Accounts: the people of this server, put together of what can be done with them."""

from collections.abc import Callable

from fleetwire.features.accounts import login_repository, repository
from fleetwire.features.accounts.administration import Administration
from fleetwire.features.accounts.identities import Identities
from fleetwire.features.accounts.keys import KeySet
from fleetwire.features.accounts.logins import Logins
from fleetwire.features.accounts.memberships import Memberships
from fleetwire.features.accounts.outside import ClaimRules
from fleetwire.features.accounts.password_changes import PasswordChanges
from fleetwire.features.accounts.passwords import Passwords, random_password
from fleetwire.features.accounts.permissions import OWNER
from fleetwire.features.accounts.sessions import Sessions
from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.accounts.tokens import AccessTokens
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.repository import all_members, insert_organization
from fleetwire.kit import instants
from fleetwire.kit.services import Caller
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database, Transaction

FIRST_ORGANIZATION = "Default"
FIRST_USERNAME = "admin"
FIRST_EMAIL = "admin@fleetwire.local"


class Accounts(Logins, Sessions, Identities, PasswordChanges, Administration, Memberships):
    """Signs people in and manages their accounts. `bootstrap()` comes first.

    A closed account, or one of another role, loses its connections on `downlink`. Passwords that
    everybody knows are good where they are allowed only; elsewhere such accounts are closed.
    """

    def __init__(
        self,
        db: Database,
        secret: str,
        audit: SqlAudit,
        *,
        jwks_url: str | None = None,
        jwt_audience: str | None = None,
        jwt_issuer: str | None = None,
        claim_rules: ClaimRules | None = None,
        downlink: Downlink | None = None,
        clock: Callable[[], int] = instants.now,
        throttle: Throttle | None = None,
        passwords: Passwords | None = None,
        allows_known_passwords: bool = False,
    ) -> None:
        keys = KeySet(jwks_url) if jwks_url is not None else None
        super().__init__(
            db,
            audit,
            AccessTokens(
                secret,
                keys,
                clock,
                audience=jwt_audience,
                issuer=jwt_issuer,
                claim_rules=claim_rules,
            ),
            Passwords() if passwords is None else passwords,
            Throttle() if throttle is None else throttle,
            clock,
            downlink,
            allows_known_passwords,
        )

    async def bootstrap(self) -> tuple[str, str] | None:
        """Load the accounts; where there are none, make the first and return its login, once."""
        for account in await self._db.read(repository.all_accounts):
            self._directory.put(account)
        for place in await self._db.read(all_members):
            self._directory.join(place.account_id, place.organization_id, place.role)
        for account_id, version in await self._db.read(login_repository.all_versions):
            self._directory.set_version(account_id, version)
        for account_id, login in await self._db.read(login_repository.all_logins):
            self._directory.add_login(account_id, login)
        if not self.allows_known_passwords:
            for account_id in await self._db.read(repository.with_known_password):
                self._directory.change(account_id, is_active=False)
        if len(self._directory):
            return None
        password = random_password()
        hashed = await self._passwords.hash(password)

        def work(tx: Transaction) -> None:
            organization_id = insert_organization(tx, FIRST_ORGANIZATION, self._clock())
            account = self.insert(
                tx, organization_id, FIRST_EMAIL, FIRST_USERNAME, None, OWNER, hashed
            )
            subject = f"account:{account.id}"
            self._audit.record_in(
                tx, Caller("system", organization_id, frozenset()), "account.created", subject
            )

        await self._db.write(work)
        return FIRST_USERNAME, password
