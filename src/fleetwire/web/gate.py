"""TokenGate: who asks, by the access token, the key or the machine's token that he brings."""

from fastapi.requests import HTTPConnection

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.key_ring import PREFIX
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.machines.service import MachineTokens
from fleetwire.kit.http import Gate
from fleetwire.kit.people import remote_of
from fleetwire.kit.services import Caller


class TokenGate(Gate):
    """Takes `Authorization: Bearer …`; on WebSockets, where browsers cannot send it, `?token=` too.

    Not so on plain requests: their URLs end up in logs and histories.
    """

    def __init__(
        self,
        accounts: Accounts,
        keys: ApiKeys | None = None,
        machines: MachineTokens | None = None,
    ) -> None:
        self._accounts = accounts
        self._keys = keys
        self._machines = machines

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
        if self._machines is not None and self._machines.is_for(token):
            return self._machines.verify(token, remote_of(connection))
        return await self._accounts.authenticate_token(token, remote_of(connection))
