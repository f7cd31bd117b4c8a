"""TokenGate: who asks, by the access token or the key of a service that he brings."""

from fastapi.requests import HTTPConnection

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.api_keys import PREFIX, ApiKeys
from fleetwire.features.accounts.endpoints import remote_of
from fleetwire.features.accounts.service import Accounts
from fleetwire.kit.http import Gate
from fleetwire.kit.services import Caller


class TokenGate(Gate):
    """Takes `Authorization: Bearer …`; on WebSockets, where browsers cannot send it, `?token=` too.

    Not so on plain requests: their URLs end up in logs and histories.
    """

    def __init__(self, accounts: Accounts, keys: ApiKeys | None = None) -> None:
        self._accounts = accounts
        self._keys = keys

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return the caller. Raises UnauthenticatedError."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme and scheme.lower() != "bearer":
            raise UnauthenticatedError("Send the access token as `Authorization: Bearer <token>`.")
        token = token.strip()
        if not token and connection.scope["type"] == "websocket":
            token = connection.query_params.get("token", "")
        if not token:
            raise UnauthenticatedError(
                "Sign in first (POST /api/v1/auth/login) and send the access token as "
                "`Authorization: Bearer <token>`."
            )
        if self._keys is not None and token.startswith(PREFIX):
            return self._keys.authenticate(token, remote_of(connection))
        return await self._accounts.authenticate_token(token, remote_of(connection))
