"""An issuer's JWKS URL on loopback: a real server, whose keys rotate when told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class JwksServer:
    """Publishes the keys in `keys`, by id; counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {}
        self.is_broken = False
        self.requests = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"

    def rotate(self, key_id: str, key: PrivateKey) -> None:
        """Publish this key and no other."""
        self.keys = {key_id: key}

    def sign(self, claims: dict[str, Any], key_id: str, key: PrivateKey | None = None) -> str:
        """Return a token signed with a key that is published, or was."""
        key = self.keys[key_id] if key is None else key
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id})

    def document(self) -> bytes:
        """Return what is published."""
        return json.dumps({"keys": [_jwk(*each) for each in self.keys.items()]}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                body = b"Service Unavailable" if issuer.is_broken else issuer.document()
                self.send_response(503 if issuer.is_broken else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        return Handler

    @contextmanager
    def running(self) -> Iterator["JwksServer"]:
        """Serve within."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join(10)
            self._server.server_close()


def _jwk(key_id: str, key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": key_id, "use": "sig"}
