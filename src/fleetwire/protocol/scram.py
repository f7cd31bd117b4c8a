"""SCRAM-SHA-256, the server's side: a password is proved without being sent (RFC 5802, RFC 7677).

    client-first  ->  ScramServer.challenge  ->  server-first
    client-final  ->  ScramServer.prove      ->  server-final

Nobody who listens, and nobody who steals the stored verifiers, can sign in with what he got.

Does not: make random numbers (the server's nonce is given), bind to a TLS channel (`-PLUS`), act
for somebody else (an authorization identity must be the user name), prepare strings by SASLprep:
user names are compared as sent, and our tokens are hexadecimal digits, which it leaves as they are.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hashlib import pbkdf2_hmac, sha256
from typing import Final

from fleetwire.errors import FleetwireError

METHOD: Final = "SCRAM-SHA-256"
ITERATIONS: Final = 4096  # the least that RFC 7677 allows; our tokens are 256 random bits already
LONGEST_MESSAGE: Final = 2048  # bytes, of either message of a client
LONGEST_NONCE: Final = 256
_HASH_BYTES: Final = 32


class ScramError(FleetwireError):
    """A message of the client is none of SCRAM's, or asks for what is not offered."""


class WrongProofError(ScramError):
    """The client does not know the password, or there is no such user."""


class Verifier:
    """What a server keeps to check a password, and cannot turn back into it (RFC 5802 §3)."""

    __slots__ = ("iterations", "salt", "server_key", "stored_key")

    def __init__(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> None:
        self.salt = salt
        self.iterations = iterations
        self.stored_key = stored_key
        self.server_key = server_key


def derive(password: bytes, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """Return the verifier of a password. Takes milliseconds: never on an event loop."""
    salted = pbkdf2_hmac("sha256", password, salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return Verifier(salt, iterations, sha256(client_key).digest(), _hmac(salted, b"Server Key"))


def feigned_salt(secret: bytes, username: str) -> bytes:
    """Return the salt of a user that does not exist: always the same, and no salt of a real one.

    So asking for a salt does not tell who is known here.
    """
    return _hmac(secret, b"salt of nobody\0" + username.encode(errors="surrogatepass"))[:16]


class ScramServer:
    """One exchange. `username` is what the client calls itself; believe it after `prove` only."""

    __slots__ = ("_bare", "_gs2_header", "_nonce", "_server_first", "username")

    def __init__(self, client_first: bytes, server_nonce: str) -> None:
        """Read client-first. Raises ScramError."""
        text = _text(client_first)
        flag, comma, rest = text.partition(",")
        if flag.startswith("p="):
            raise ScramError("channel binding is not offered")
        if flag not in ("n", "y") or not comma:
            raise ScramError("the first message does not begin with n,, or y,,")
        authorization, comma, self._bare = rest.partition(",")
        if not comma:
            raise ScramError("the first message ends in its header")
        self._gs2_header = f"{flag},{authorization},"
        # RFC 5802 §7: user name, nonce, then extensions, which may be ignored; "m=" may not.
        attributes = self._bare.split(",")
        if len(attributes) < 2:
            raise ScramError("the first message has no nonce")
        self.username = _saslname(_value(attributes[0], "n"))
        if authorization and _saslname(_value(authorization, "a")) != self.username:
            raise ScramError("nobody may act for somebody else")
        client_nonce = _value(attributes[1], "r")
        if len(client_nonce) > LONGEST_NONCE or not _is_printable(client_nonce):
            raise ScramError(
                f"the nonce is not printable ASCII of at most {LONGEST_NONCE} characters"
            )
        self._nonce = client_nonce + server_nonce
        self._server_first = ""

    def challenge(self, salt: bytes, iterations: int) -> bytes:
        """Return server-first: the nonce of both, and how to derive the key from the password."""
        encoded = b64encode(salt).decode()
        self._server_first = f"r={self._nonce},s={encoded},i={iterations}"
        return self._server_first.encode()

    def prove(self, client_final: bytes, verifiers: Iterable[Verifier]) -> tuple[int, bytes]:
        """Return (index of the verifier that the proof fits, server-final).

        The verifiers have the salt and iterations of the challenge; a user may have several
        passwords. Each of them is tried, whichever fits. Raises WrongProofError, ScramError.
        """
        text = _text(client_final)
        without_proof, comma, proof_text = text.rpartition(",p=")
        if not comma:
            raise ScramError("the final message has no proof")
        attributes = without_proof.split(",")
        if len(attributes) < 2:
            raise ScramError("the final message has no nonce")
        if _decoded(_value(attributes[0], "c")) != self._gs2_header.encode():
            raise ScramError("the final message binds to another channel than the first")
        if not hmac.compare_digest(_value(attributes[1], "r").encode(), self._nonce.encode()):
            raise ScramError("the nonce is not that of this exchange")
        proof = _decoded(proof_text)
        if len(proof) != _HASH_BYTES:
            raise ScramError(f"the proof does not have {_HASH_BYTES} bytes")
        message = f"{self._bare},{self._server_first},{without_proof}".encode()
        fits = -1
        signature = b""
        for index, verifier in enumerate(verifiers):
            client_key = _xor(proof, _hmac(verifier.stored_key, message))
            # RFC 5802 §3: StoredKey is H(ClientKey). Compared in constant time.
            if hmac.compare_digest(sha256(client_key).digest(), verifier.stored_key):
                fits = index
                signature = _hmac(verifier.server_key, message)
        if fits < 0:
            raise WrongProofError("wrong user name or password")
        return fits, b"v=" + b64encode(signature)


def _text(message: bytes) -> str:
    if len(message) > LONGEST_MESSAGE:
        raise ScramError(f"a message is longer than {LONGEST_MESSAGE} bytes")
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise ScramError("a message is not UTF-8") from None
    if "\0" in text:
        raise ScramError("a message contains U+0000")
    return text


def _value(attribute: str, name: str) -> str:
    """Return what follows `name=`. Raises ScramError if it is another attribute, or empty."""
    found, equals, value = attribute.partition("=")
    if found == "m":
        raise ScramError("a message asks for an extension that is not known here")
    if found != name or not equals or not value:
        raise ScramError(f"a message has no {name}= where it belongs")
    return value


def _saslname(text: str) -> str:
    """Return a user name with its commas and equals signs (RFC 5802 §5.1). Raises ScramError."""
    parts = text.split("=")
    name = parts[0]
    for part in parts[1:]:
        if part[:2] == "2C":
            name += ","
        elif part[:2] == "3D":
            name += "="
        else:
            raise ScramError("a user name has '=' that stands for nothing")
        name += part[2:]
    return name


def _is_printable(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise ScramError("a message has base64 that is none") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
