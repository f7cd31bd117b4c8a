"""Webhook: one POST to somebody else's server, and what it says of it.

It goes to public addresses only, unless the settings say otherwise: an organisation's chain must
not reach what stands beside this server. The name is looked up once, and the address that was
checked is the one that is spoken to. Redirects are not followed, of the answer only the status is
read, and all of it together has TIMEOUT_S.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

TIMEOUT_S: Final = 10.0
MAX_LINE_BYTES: Final = 8192

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 §2.1
# Of those that refuse, these say that it may be otherwise later (RFC 9110 §15.5, RFC 6585 §4).
_LATER: Final = frozenset({408, 425, 429})


class WebhookError(Exception):
    """It was not taken; the text says why. `is_final`: trying again would not help."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Webhooks:
    """Sends webhooks. `allows_private`: also to addresses that are not public."""

    def __init__(self, *, allows_private: bool = False) -> None:
        self._allows_private = allows_private
        self._context: ssl.SSLContext | None = None

    async def post(self, said: Mapping[str, Any], key: str) -> int:
        """Send one and return the status, 200 to 299. Raises WebhookError."""
        parts = urlsplit(said["url"])
        body = msgspec.json.encode(said.get("body"))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._exchange(parts, said.get("headers", {}), body, key)
        except TimeoutError:
            raise WebhookError(f"no answer within {TIMEOUT_S:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise WebhookError(f"its certificate is not valid: {error.verify_message}") from None
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise WebhookError(f"it cannot be reached: {_words(error)}") from None
        if 200 <= status < 300:
            return status
        is_final = status not in _LATER and status < 500
        raise WebhookError(f"it answered {status}", is_final=is_final)

    async def _exchange(
        self, parts: SplitResult, headers: Mapping[str, str], body: bytes, key: str
    ) -> int:
        host = parts.hostname or ""
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        address = await self._address(host, port)
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=self._tls() if is_tls else None,
            server_hostname=host if is_tls else None,
            limit=MAX_LINE_BYTES,
        )
        try:
            writer.write(_request(parts, headers, body, key))
            await writer.drain()
            return _status(await reader.readline())
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _address(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise WebhookError(f"nobody knows an address of {host[:100]}") from None
        for *_, place in found:
            address = str(place[0])
            if self._allows_private or _is_public(address):
                return address
        raise WebhookError(f"{host[:100]} has no public address", is_final=True)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _is_public(text: str) -> bool:
    """Say whether an address is one of the internet's, and hides no other one within it."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return _is_public(str(address.ipv4_mapped))
    leads_elsewhere = address.sixtofour or address.teredo or address in _NAT64
    return address.is_global and not address.is_multicast and not leads_elsewhere


def _request(parts: SplitResult, headers: Mapping[str, str], body: bytes, key: str) -> bytes:
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    lines = {
        "Host": parts.netloc,
        "User-Agent": "Fleetwire",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Idempotency-Key": key,
        "Connection": "close",
    }
    own = {name.lower() for name in headers}
    said = {name: value for name, value in lines.items() if name.lower() not in own}
    said.update(headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _status(line: bytes) -> int:
    """Return the status of an answer's first line. RFC 9112 §4."""
    protocol, _, rest = line.partition(b" ")
    code = rest[:3]
    if not protocol.startswith(b"HTTP/1.") or not code.isdigit():
        raise WebhookError("what answers there speaks no HTTP")
    return int(code)


def _words(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
