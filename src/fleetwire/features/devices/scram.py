"""ScramExchange: a device proves that it has its token, and the server that it knows of it."""

import secrets
from collections.abc import Callable
from typing import Final

from fleetwire.broker.grants import Grant
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.net.authenticator import Admission, Challenge, Exchange, RefusedError
from fleetwire.protocol.constants import BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED
from fleetwire.protocol.scram import (
    ITERATIONS,
    ScramError,
    ScramServer,
    Verifier,
    WrongProofError,
    feigned_salt,
)

NONCE_BYTES: Final = 18
TRIED_MOST: Final = 64  # credentials of one user name; 32 usable ones is what a device may have


class ScramExchange(Exchange):
    """SCRAM-SHA-256 with the tokens of the device whose name is the user name.

    A user that does not exist gets a challenge of the same form, the same each time. `admit` says
    what a credential whose token was proved may do; it raises RefusedError.
    """

    def __init__(
        self, registry: Registry, secret: bytes, admit: Callable[[KnownCredential], Grant]
    ) -> None:
        self._registry = registry
        self._secret = secret
        self._admit = admit
        self._has_begun = False
        self._server: ScramServer | None = None
        self._credentials: list[KnownCredential] = []
        self._verifiers: list[Verifier] = []

    async def step(self, data: bytes) -> Challenge | Admission:
        if not data and not self._has_begun:
            self._has_begun = True
            return Challenge(b"")  # the client speaks first, and has not (RFC 4422 §3)
        self._has_begun = True
        try:
            if self._server is None:
                return self._challenge(data)
            index, answer = self._server.prove(data, self._verifiers)
        except WrongProofError as error:
            raise RefusedError(str(error), BAD_USER_NAME_OR_PASSWORD) from None
        except ScramError as error:
            raise RefusedError(f"SCRAM: {error}", NOT_AUTHORIZED) from None
        return Admission(self._admit(self._credentials[index]), answer)

    def _challenge(self, data: bytes) -> Challenge:
        server = ScramServer(data, secrets.token_urlsafe(NONCE_BYTES))
        known = [
            credential
            for device in self._registry.named(server.username)
            for credential in self._registry.credentials_of(device)
            if credential.verifier is not None
        ]
        # Those that can be used first: one that was revoked is tried to say so.
        known.sort(key=lambda credential: (credential.revoked_at > 0, -credential.id))
        salt, iterations = feigned_salt(self._secret, server.username), ITERATIONS
        if known and known[0].verifier is not None:
            salt, iterations = known[0].verifier.salt, known[0].verifier.iterations
        for credential in known:
            verifier = credential.verifier
            if (
                verifier is not None
                and verifier.salt == salt
                and verifier.iterations == iterations
                and len(self._verifiers) < TRIED_MOST
            ):
                self._credentials.append(credential)
                self._verifiers.append(verifier)
        self._server = server
        return Challenge(server.challenge(salt, iterations))
