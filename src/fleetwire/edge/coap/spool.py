"""BoundedSpool: parts of requests that come block by block, so many and so large at most."""

from typing import Any, Final

from aiocoap import error  # type: ignore[import-untyped]  # it has no types
from aiocoap.blockwise import Block1Spool  # type: ignore[import-untyped]  # likewise

MOST_BYTES: Final = 256 * 1024  # a thousand values, with room
MOST_UNDER_WAY: Final = 500


class BoundedSpool(Block1Spool):  # type: ignore[misc]  # likewise
    """The library would keep what anybody sends, whole, for a minute and a half."""

    def feed_and_take(self, req: Any) -> Any:
        """Return the whole request with its last block. RFC 7959 §2.5.

        Raises what the library answers by itself: 2.31, 4.08, 4.13, 5.03.
        """
        block = req.opt.block1
        if block is None:
            if len(req.payload) > MOST_BYTES:
                raise error.RequestEntityTooLarge
            return req
        if block.start + len(req.payload) > MOST_BYTES:
            raise error.RequestEntityTooLarge
        if block.block_number == 0 and len(self._assemblies._items) >= MOST_UNDER_WAY:
            raise error.ServiceUnavailable
        return super().feed_and_take(req)
