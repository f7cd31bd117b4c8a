"""KeySet: the public keys of somebody else who issues access tokens."""

import asyncio
import time
from collections.abc import Callable

import structlog
from jwt import PyJWK, PyJWKClient, PyJWTError

from fleetwire.features.accounts.errors import KeysUnavailableError

log = structlog.get_logger("fleetwire.accounts")

FETCH_TIMEOUT_S = 5.0
KEEP_S = 300.0  # a key that its issuer withdraws is not believed for longer
PAUSE_S = 10.0  # between fetches, however many tokens name keys that nobody has


class KeySet:
    """The keys behind a JWKS URL, fetched when first needed and again when they are old.

    While the URL cannot be reached the keys that are known stay in use. A key that is new there is
    known here PAUSE_S after the last fetch at the latest. While one token waits for a fetch, those
    of keys that are known do not.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[], list[PyJWK]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        client = PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_S)
        self._fetch = fetch or (lambda: client.get_jwk_set().keys)
        self._clock = clock
        self._keys: list[PyJWK] = []
        self._tried_at = float("-inf")
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._is_away = False

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return the key of this id, or the only key if a token names none; None if unknown.

        Raises KeysUnavailableError when no key has been fetched at all.
        """
        known = self._known(key_id)
        if known is not None and (not self._is_old() or self._fetching.locked()):
            return known
        if self._may_fetch():
            async with self._fetching:
                if self._is_old() or self._known(key_id) is None:
                    await self._refresh()
        if not self._keys:
            raise KeysUnavailableError("The keys to check this token with cannot be fetched now.")
        return self._known(key_id)

    def _may_fetch(self) -> bool:
        return self._fetching.locked() or self._clock() - self._tried_at >= PAUSE_S

    def _is_old(self) -> bool:
        return self._clock() - self._fetched_at > KEEP_S

    def _known(self, key_id: str | None) -> PyJWK | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    async def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried_at < PAUSE_S:
            return  # who waited before us has fetched
        self._tried_at = now
        try:
            fetched = await asyncio.to_thread(self._fetch)
            # What is for encryption signs nothing.
            self._keys = [key for key in fetched if key.public_key_use in (None, "sig")]
        except (PyJWTError, OSError, ValueError) as error:
            if not self._is_away:
                log.warning("the JWKS URL gives no keys", error=str(error), known=len(self._keys))
            self._is_away = True
        else:
            self._fetched_at = now
            if self._is_away:
                log.info("the JWKS URL gives keys again", known=len(self._keys))
            self._is_away = False
