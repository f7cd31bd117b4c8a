"""Machines: devices that sign in over HTTP with the credential they have for MQTT.

    @router.post("/auth/machine", dependencies=[open_to_all(per_minute=30)])
    async def sign_in(body: MachineLogin, connection: Request, machines: TheMachines):
        login = machines.sign_in(APP, body.machine_id, body.token, remote_of(connection))
        return {"token": login.token, "machine_id": body.machine_id, "status": "authenticated"}

The token is a JWT of the type `machine` and is sent as `Authorization: Bearer …`; `Asks` then gives
a Caller with `device_id`. It ends with the credential it was had for, at once.
"""

from abc import ABC, abstractmethod

import msgspec

from fleetwire.kit.caller import Caller

LIFE_S = 30 * 86_400.0


class MachineLogin(msgspec.Struct, frozen=True):
    """What signing in gives: a token, when it ends (microseconds UTC), and who the machine is."""

    token: str
    expires_at: int
    caller: Caller


class Machines(ABC):
    """Signs devices in."""

    @abstractmethod
    def sign_in(
        self, app: str, device_id: str, password: str, remote: str, *, life_s: float = LIFE_S
    ) -> MachineLogin:
        """Return a token for a device's credential.

        Raises UnauthenticatedError in the same words whatever is wrong; TooManyError (429, with
        `retry_after_s`) after failures.
        """

    @abstractmethod
    def holder(self, app: str, password: str, remote: str) -> Caller:
        """Return the device whose credential this is, for senders who show nothing else.

        Raises as `sign_in`.
        """

    @abstractmethod
    def verify(self, token: str, remote: str) -> Caller:
        """Return the device that a token speaks of. Raises UnauthenticatedError."""
