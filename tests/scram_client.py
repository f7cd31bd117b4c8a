"""The client's side of SCRAM-SHA-256, written from RFC 5802 for the tests of the server's side."""

import hmac
from base64 import b64decode, b64encode
from hashlib import pbkdf2_hmac, sha256


class ScramClient:
    """One exchange with a known nonce."""

    def __init__(self, username: str, password: str, nonce: str = "rOprNGfwEbeRWgbNEkqO") -> None:
        self.password = password.encode()
        escaped = username.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={escaped},r={nonce}"
        self.server_signature = b""

    @property
    def first(self) -> bytes:
        """client-first-message."""
        return f"n,,{self.bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """client-final-message, with the proof."""
        text = server_first.decode()
        nonce, salt, iterations = (part.partition("=")[2] for part in text.split(","))
        salted = pbkdf2_hmac("sha256", self.password, b64decode(salt), int(iterations))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={b64encode(b'n,,').decode()},r={nonce}"
        message = f"{self.bare},{text},{without_proof}".encode()
        signature = hmac.digest(sha256(client_key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.server_signature = b"v=" + b64encode(hmac.digest(server_key, message, "sha256"))
        return f"{without_proof},p={b64encode(proof).decode()}".encode()
