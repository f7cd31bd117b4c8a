"""Identities: who an access token speaks of, and what he may do at this moment.

What a token allows is looked up for each request, so a closed account, another role or an ended
login counts at once. Another password, or closing the account, raises the version that its access
tokens must have: older ones end, also if the account is opened again.
"""

from msgspec import structs

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.outsiders import Outsiders
from fleetwire.features.accounts.part import caller_for
from fleetwire.features.accounts.tokens import Claims
from fleetwire.kit.services import Caller


class Identities(Outsiders):
    """Asks the directory."""

    async def authenticate_token(self, token: str, remote: str) -> Caller:
        """Return whom an access token speaks of, with what he may do at this moment.

        Raises UnauthenticatedError; ForbiddenError if another's genuine token names nobody we know.
        """
        return (await self.identify(token, remote))[0]

    async def identify(self, token: str, remote: str) -> tuple[Caller, int]:
        """Return whom an access token speaks of, and when it expires (microseconds UTC).

        Raises as `authenticate_token`.
        """
        claims = await self._access_tokens.verify(token)
        if claims.account_id is not None:
            account = self._ours(claims, claims.account_id)
        else:
            assert claims.outsider is not None
            account = await self._outsider(claims.outsider, self._access_tokens.default_role)
        if not account.is_active:
            raise UnauthenticatedError("This account is closed.")
        caller = caller_for(account, remote, claims.login or "")
        if claims.outsider is not None:
            caller = structs.replace(caller, subject=claims.outsider.subject)
        return caller, claims.expires_at

    def _ours(self, claims: Claims, account_id: int) -> Account:
        account = self._directory.find(account_id, claims.organization_id)
        if account is None:
            if self._directory.find(account_id) is not None:
                raise UnauthenticatedError("You do not belong to this organisation any more.")
            raise UnauthenticatedError("This person has no account here any more.")
        if claims.version != self._directory.version(account_id):
            raise UnauthenticatedError(
                "The access token ended when the password was changed or the account closed. "
                "Sign in again."
            )
        if claims.login is None:  # one from before logins had names: nothing could end it
            raise UnauthenticatedError("The access token names no login. Sign in again.")
        if not self._directory.has_login(account_id, claims.login):
            raise UnauthenticatedError("You have signed out. Sign in again.")
        return account

    def caller_of(self, account_id: int, organization_id: int | None = None) -> Caller | None:
        """Return an account as one who asks, with what he may do now; None if closed or unknown."""
        account = self._directory.find(account_id, organization_id)
        return None if account is None or not account.is_active else caller_for(account, "")
