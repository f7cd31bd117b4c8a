"""Door: whom the server of these tests lets in, and an authentication with one challenge."""

from fleetwire.broker.grants import Grant
from fleetwire.net.authenticator import (
    Admission,
    Authenticator,
    Challenge,
    Exchange,
    Offer,
    RefusedError,
)
from fleetwire.protocol import constants as c

METHOD = "ECHO"  # the Authentication Method


class EchoExchange(Exchange):
    """CONNECT -> a challenge -> its echo in upper case."""

    def __init__(self, door: "Door") -> None:
        self._door = door
        self._is_asked = False

    async def step(self, data: bytes) -> Challenge | Admission:
        if not self._is_asked:
            self._is_asked = True
            return Challenge(b"challenge")
        if data != b"CHALLENGE":
            raise RefusedError("a wrong answer", c.NOT_AUTHORIZED)
        return Admission(self._door.grant("echo"), b"welcome")


class Door(Authenticator):
    """Lets in everybody with the password "secret", and who has neither it nor a user name.

    The user "limited" may publish and subscribe to `free/#` alone; "system" may publish to $own/#.
    """

    def grant(self, username: str) -> Grant:
        if username == "limited":
            return Grant("limited", ["free/#"], ["free/#"])
        publish = ["#", "$own/#"] if username == "system" else ["#"]
        return Grant(
            username, publish, ["#", "$SYS/#", "$own/#"], anonymous=username == "anonymous"
        )

    async def authenticate(self, offer: Offer) -> Grant:
        if offer.username is None and offer.password is None and offer.anonymous_allowed:
            return self.grant("anonymous")
        if offer.password != b"secret":
            raise RefusedError("wrong user name or password", c.BAD_USER_NAME_OR_PASSWORD)
        return self.grant(offer.username or "nameless")

    def begin(self, method: str, offer: Offer) -> Exchange:
        if method != METHOD:
            raise RefusedError("no such method", c.BAD_AUTHENTICATION_METHOD)
        return EchoExchange(self)
