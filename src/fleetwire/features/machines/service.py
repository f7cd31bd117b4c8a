"""MachineTokens: JWTs for devices, as good as the credential that each was had for."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import jwt

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.kit import instants
from fleetwire.kit.caller import Caller
from fleetwire.kit.machines import LIFE_S, MachineLogin, Machines

TYPE: Final = "machine"
ALGORITHM: Final = "HS256"
WRONG: Final = "Wrong machine id or token."
# Time is compared by our own clock.
_CHECKS: Any = {"require": ["exp", "cred"], "verify_exp": False, "verify_iat": False}


class MachineTokens(Machines):
    """`secret` is the house's own; what is signed here is no token of a person, and vice versa."""

    def __init__(
        self,
        registry: Registry,
        secret: str,
        *,
        throttle: Throttle | None = None,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._registry = registry
        self._secret = hmac.digest(secret.encode(), b"fleetwire machine tokens", "sha256")
        self._throttle = throttle or Throttle()
        self._clock = clock
        self._head = self._signed({}).partition(".")[0] + "."

    def sign_in(
        self, app: str, device_id: str, password: str, remote: str, *, life_s: float = LIFE_S
    ) -> MachineLogin:
        name = f"{app}/{device_id}"
        self._throttle.enter_login(name, remote)
        credential = self._credential(app, password)
        if credential is None or credential.device.device_id != device_id:
            raise UnauthenticatedError(WRONG)
        self._throttle.logged_in(name, remote)
        now = self._clock()
        expires_at = now + round(life_s * 1e6)
        if credential.expires_at:
            expires_at = min(expires_at, credential.expires_at)
        device = credential.device
        token = self._signed(
            {
                "iss": "fleetwire",
                "type": TYPE,
                "sub": f"{device.app}/{device.device_id}",
                "machine_id": device.device_id,
                "dev": device.id,
                "cred": credential.id,
                "org": device.organization_id,
                "iat": now // 1_000_000,
                "exp": expires_at // 1_000_000,
            }
        )
        return MachineLogin(token, expires_at, Caller.of_device(device, remote))

    def holder(self, app: str, password: str, remote: str) -> Caller:
        credential = self._credential(app, password)
        if credential is None:
            # Guesses are counted, tokens that are right are not held up by them.
            self._throttle.enter_login(f"{app}/", remote)
            raise UnauthenticatedError("This is no device's token, or it was revoked or is over.")
        return Caller.of_device(credential.device, remote)

    def _credential(self, app: str, password: str) -> KnownCredential | None:
        """Return the usable credential of an app's device that this is."""
        # By the token's hash, as at CONNECT: what a timing could tell is the hash of a guess.
        digest = sha256(password.encode(errors="replace")).hexdigest()
        found = self._registry.credential(digest)
        if found is None or found.device.app != app or not _stands(found, self._clock()):
            return None
        return found

    def is_for(self, token: str) -> bool:
        """Say whether a token looks like one of these."""
        return token.startswith(self._head)

    def verify(self, token: str, remote: str) -> Caller:
        try:
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=_CHECKS)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise UnauthenticatedError("The machine's token is not genuine.") from None
        now = self._clock()
        if claims["exp"] * 1_000_000 <= now:
            raise UnauthenticatedError("The machine's token has expired.")
        device = self._registry.by_id(claims["dev"])
        own = [] if device is None else self._registry.credentials_of(device)
        if device is None or not any(
            each.id == claims["cred"] and _stands(each, now) for each in own
        ):
            raise UnauthenticatedError("The machine's credential was revoked or has expired.")
        return Caller.of_device(device, remote)

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM, headers={"typ": TYPE})


def is_held(registry: Registry, app: str, device_id: str, password: str) -> bool:
    """Say whether a device, by app and device_id, has this usable token."""
    found = registry.credential(sha256(password.encode(errors="replace")).hexdigest())
    if found is None or not _stands(found, instants.now()):
        return False
    return (found.device.app, found.device.device_id) == (app, device_id)


def _stands(credential: KnownCredential, now: int) -> bool:
    is_expired = 0 < credential.expires_at <= now
    return not credential.revoked_at and not is_expired
