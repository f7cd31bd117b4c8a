"""Access: who a reader is, asked again whenever it may have changed, and from where he may come."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi.requests import HTTPConnection

from fleetwire.errors import ForbiddenError
from fleetwire.kit.http import Gate
from fleetwire.kit.people import remote_of
from fleetwire.kit.services import Caller
from fleetwire.web.realtime.interest import RIGHTS


class Access:
    """The credential that a reader showed, and the gate that knows what it is worth now.

    It is taken from the header `Authorization`, from `?token=`, or given: browsers cannot set
    headers of an EventSource or a WebSocket.
    """

    def __init__(
        self,
        gate: Gate,
        connection: HTTPConnection,
        token: str = "",
        *,
        needs: frozenset[str] = RIGHTS,
        is_open: bool = False,
    ) -> None:
        """`needs` are permissions of which one is enough, none = whoever is signed in.

        With `is_open` somebody without a credential is let in as nobody.
        """
        self._gate = gate
        self._needs = needs
        self._is_open = is_open and not token and not is_shown(connection)
        said = token or connection.query_params.get("token", "")
        if "authorization" in connection.headers or not said:
            self._connection = connection
            return
        scope = dict(connection.scope)
        bearer = (b"authorization", b"Bearer " + said.encode())
        scope["headers"] = [*scope["headers"], bearer]
        self._connection = HTTPConnection(scope)

    async def caller(self) -> Caller:
        """Return the caller as he is now.

        Raises UnauthenticatedError; ForbiddenError if there is nothing he may follow.
        """
        if self._is_open:
            return Caller.anonymous(remote_of(self._connection))
        caller = await self._gate.caller(self._connection)
        if self._needs and not caller.permissions & self._needs:
            needed = " or ".join(repr(right) for right in sorted(self._needs))
            raise ForbiddenError(f"This needs the permission {needed}, which you do not have.")
        return caller


def is_shown(connection: HTTPConnection) -> bool:
    """Say whether a connection came with a credential."""
    return "authorization" in connection.headers or bool(connection.query_params.get("token"))


def is_origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Say whether a page of this Origin may follow; programs send none, and may.

    Pages of the same host always may, on whichever port: the listeners of one server are that.
    `allowed` are further origins (`https://ward.example`), or `*`.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return bool(host) and urlsplit(origin).hostname == urlsplit(f"//{host}").hostname


def check_origin(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """Raise ForbiddenError if the page that connects may not."""
    origin = connection.headers.get("origin")
    if not is_origin_allowed(origin, connection.headers.get("host"), allowed):
        raise ForbiddenError(
            f"Pages of {str(origin)[:200]!r} may not follow events here: "
            "FLEETWIRE_REALTIME_ORIGINS does not name them."
        )
