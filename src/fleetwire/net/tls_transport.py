"""TLSTransport: TLS between a plain transport and the protocol of a connection.

    plain transport -> TLSTransport (ssl.SSLObject between two memory buffers) -> protocol

It is the protocol of the one and the transport of the other. asyncio's own keeps a buffer of
256 KiB for every connection, says nothing of handshakes that fail, and cannot begin with bytes that
were read already, as behind a PROXY header.

Does not renegotiate, and does not half-close: after `write_eof` nothing more is heard.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

READ_BYTES = 64 * 1024  # at once from the network
CHUNK_BYTES = 16 * 1024  # of one TLS record; memory buffers keep the size they once had


class TLSTransport(asyncio.Protocol, asyncio.Transport):
    """The server's side of one TLS connection.

    `context` is asked for when the first bytes come. `opened` is called when the handshake is done,
    before the protocol hears of its connection; `failed`, with the reason, if it never will be
    (an empty one if the client went away without a word).
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        context: Callable[[], ssl.SSLContext],
        opened: Callable[["TLSTransport"], None],
        failed: Callable[["TLSTransport", str], None],
    ) -> None:
        asyncio.Transport.__init__(self)
        self._protocol = protocol
        self._context = context
        self._opened = opened
        self._failed = failed
        self._plain: asyncio.Transport | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._is_open = False
        self._is_deaf = False  # our side has ended; what still comes is thrown away
        self._is_over = False

    # --- the plain transport's protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._plain = transport
        self.max_size = READ_BYTES

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or self._is_over:
            return
        received: list[bytes] = []
        is_ended = False
        try:
            for start in range(0, len(data), CHUNK_BYTES):
                self._incoming.write(data[start : start + CHUNK_BYTES])
                if not self._is_open and not self._shake_hands():
                    continue
                is_ended = self._decrypt(received)
                if is_ended or self._is_deaf or self._is_over:
                    break
        except ssl.SSLError as error:
            self._break(_reason(error))
            return
        self._flush()
        if received and not self._is_deaf and not self._is_over:
            self._protocol.data_received(received[0] if len(received) == 1 else b"".join(received))
        if is_ended and not self._is_deaf and not self._is_over:
            self._protocol.eof_received()
            self.close()

    def eof_received(self) -> bool:
        if self._is_open and not self._is_deaf and not self._is_over:
            self._protocol.eof_received()
        return False  # the plain transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        # Who only looks whether the port is open has not failed.
        self._end("" if self._tls is None else "the client closed the connection", exc)

    def pause_writing(self) -> None:
        if self._is_open and not self._is_over:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open and not self._is_over:
            self._protocol.resume_writing()

    # --- TLS ---

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises ssl.SSLError."""
        if self._tls is None:
            self._tls = self._context().wrap_bio(self._incoming, self._outgoing, server_side=True)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._flush()
        self._is_open = True
        self._opened(self)
        self._protocol.connection_made(self)
        return True

    def _decrypt(self, received: list[bytes]) -> bool:
        """Add what is there to `received`; return whether the client has ended its side."""
        assert self._tls is not None
        try:
            while data := self._tls.read(CHUNK_BYTES):
                received.append(data)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            pass
        return True

    def _flush(self) -> None:
        if self._outgoing.pending and self._plain is not None and not self._plain.is_closing():
            self._plain.write(self._outgoing.read())

    def _break(self, reason: str) -> None:
        """Send the alert that says why, and close."""
        self._flush()
        plain = self._plain
        self._end(reason, None)
        if plain is not None:
            plain.close()

    def _end(self, reason: str, exc: Exception | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._is_open:
            self._protocol.connection_lost(exc)
        else:
            self._failed(self, reason)
        # The two of them hold each other; the collector runs rarely here.
        del self._protocol, self._opened, self._failed, self._context
        self._tls = None

    # --- the protocol's transport ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        tls, plain = self._tls, self._plain
        if not data or tls is None or plain is None or self._is_deaf or plain.is_closing():
            return
        try:
            if len(data) <= CHUNK_BYTES:
                tls.write(data)
                plain.write(self._outgoing.read())
                return
            view = memoryview(data)
            pieces = []
            for start in range(0, len(view), CHUNK_BYTES):
                tls.write(view[start : start + CHUNK_BYTES])
                pieces.append(self._outgoing.read())
            plain.write(b"".join(pieces))
        except ssl.SSLError as error:
            asyncio.get_running_loop().call_soon(self._break, _reason(error))

    def write_eof(self) -> None:
        """Say that nothing more will be written, and stop listening."""
        if self._is_deaf or self._plain is None or self._plain.is_closing():
            return
        self._say_goodbye()
        self._plain.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if self._plain is not None and not self._plain.is_closing():
            self._say_goodbye()
            self._plain.close()

    def _say_goodbye(self) -> None:
        """Send close_notify (RFC 8446 §6.1)."""
        if self._is_open and not self._is_deaf and self._tls is not None:
            with contextlib.suppress(ssl.SSLError):  # it wants the other side's: we do not wait
                self._tls.unwrap()
            self._flush()
        self._is_deaf = True

    def abort(self) -> None:
        if self._plain is not None:
            self._plain.abort()

    def is_closing(self) -> bool:
        return self._is_over or self._plain is None or self._plain.is_closing()

    def pause_reading(self) -> None:
        if self._plain is not None:
            self._plain.pause_reading()

    def resume_reading(self) -> None:
        if self._plain is not None:
            self._plain.resume_reading()

    @property
    def max_size(self) -> int:
        """Bytes at most of one read from the network, as asyncio's socket transports have it."""
        return READ_BYTES if self._plain is None else int(self._plain.max_size)  # type: ignore[attr-defined]  # see above

    @max_size.setter
    def max_size(self, size: int) -> None:
        if self._plain is not None:
            self._plain.max_size = size  # type: ignore[attr-defined]  # see above

    def is_reading(self) -> bool:
        return self._plain is not None and self._plain.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._plain is not None:
            self._plain.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._plain is None else self._plain.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return default if self._plain is None else self._plain.get_extra_info(name, default)


def _reason(error: ssl.SSLError) -> str:
    """Return why, in OpenSSL's words made readable."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate: {error.verify_message}"
    return (error.reason or "TLS error").replace("_", " ").lower()
