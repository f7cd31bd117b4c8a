"""Access tokens (JWT) and refresh tokens (random).

Two kinds of access token are believed: HS256 with our secret, from us or from whoever shares it,
and RS256 or ES256 with a key of the JWKS URL. Which key is used follows from the algorithm alone,
and each algorithm has one kind of key, so a token cannot choose to be checked with the wrong one.
"""

import math
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt
import msgspec

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.keys import KeySet

ACCESS_LIFE_S = 3600
REFRESH_LIFE_S = 30 * 24 * 3600
LATEST_S = 253_402_300_799  # the end of the year 9999; others' tokens may say any number
NOT_BEFORE_LEEWAY_S = 30  # other issuers' clocks are ahead of ours now and then

_ISSUER = "fleetwire"
_KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
# Time is compared by our own clock below; the rest a token may carry is its issuer's business.
_CHECKS: Any = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Claims(msgspec.Struct):
    """Whom a token speaks of: one of our accounts by key, or somebody by e-mail or user name.

    `expires_at` is in microseconds UTC. Ours name the organisation they are for and the version of
    the account's tokens; others do not.
    """

    account_id: int | None
    email: str
    username: str
    expires_at: int
    organization_id: int | None = None
    version: int | None = None


class AccessTokens:
    """Issues and checks access tokens."""

    def __init__(
        self,
        secret: str,
        keys: KeySet | None,
        clock: Callable[[], int],
        *,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> None:
        self._audience = audience
        self._issuer = issuer
        self._secret = secret
        self._keys = keys
        self._clock = clock

    def issue(self, account: Account, version: int = 0) -> str:
        """Return a token that is good for ACCESS_LIFE_S seconds, in the account's organisation."""
        issued_s = self._clock() // 1_000_000
        claims = {
            "iss": _ISSUER,
            "sub": account.email,
            "user_id": account.id,
            "email": account.email,
            "username": account.username,
            "role": account.role,
            "org": account.organization_id,
            "ver": version,
            "iat": issued_s,
            "exp": issued_s + ACCESS_LIFE_S,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def verify(self, token: str) -> Claims:
        """Return what a token says. Raises UnauthenticatedError, KeysUnavailableError."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm == "HS256":
                claims = jwt.decode(token, self._secret, algorithms=["HS256"], options=_CHECKS)
                is_our_secret = True
            elif algorithm in _KEY_TYPES and self._keys is not None:
                key = await self._keys.find(header.get("kid"))
                if key is None or key.key_type != _KEY_TYPES[algorithm]:
                    raise UnauthenticatedError("The access token is signed with an unknown key.")
                claims = jwt.decode(token, key.key, algorithms=[algorithm], options=_CHECKS)
                is_our_secret = False
            else:
                raise UnauthenticatedError("The access token is signed in a way not accepted here.")
        except jwt.MissingRequiredClaimError:
            raise UnauthenticatedError("The access token has no exp (end of its life).") from None
        # What is not a token at all can fail in many ways, deep nesting among them.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise UnauthenticatedError("The access token is not genuine.") from None
        self._check_time(claims)
        if not (is_our_secret and claims.get("iss") == _ISSUER):
            self._check_origin(claims)
        return _claims(claims, may_name_ours=is_our_secret)

    def _check_origin(self, claims: dict[str, Any]) -> None:
        """Refuse others' tokens that are not from whom, or not for whom, the settings say."""
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise UnauthenticatedError("The access token is of another issuer.")
        said = claims.get("aud")
        if self._audience is not None and self._audience not in (
            said if isinstance(said, list) else [said]
        ):
            raise UnauthenticatedError("The access token is meant for somebody else.")

    def _check_time(self, claims: dict[str, Any]) -> None:
        now_s = self._clock() / 1e6
        if not _instant(claims, "exp") > now_s:
            raise UnauthenticatedError("The access token has expired.")
        if "nbf" in claims and _instant(claims, "nbf") > now_s + NOT_BEFORE_LEEWAY_S:
            raise UnauthenticatedError("The access token is not valid yet.")


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # which may be too large for a float
    if not isinstance(value, float) or not math.isfinite(value):
        raise UnauthenticatedError(f"The access token's {name} is not a number of seconds.")
    return value


def _claims(claims: dict[str, Any], *, may_name_ours: bool) -> Claims:
    user_id = claims.get("user_id")
    expires_at = int(min(_instant(claims, "exp"), LATEST_S) * 1_000_000)
    if may_name_ours and claims.get("iss") == _ISSUER and type(user_id) is int:
        organization_id, version = claims.get("org"), claims.get("ver", 0)
        return Claims(
            user_id,
            "",
            "",
            expires_at,
            organization_id if type(organization_id) is int else None,
            version if type(version) is int else 0,
        )
    if claims.get("email_verified") is False:
        raise UnauthenticatedError("The access token's e-mail address is not verified.")
    email = claims.get("email", claims.get("sub"))
    username = claims.get("username")
    return Claims(
        None,
        email if isinstance(email, str) and "@" in email else "",
        username if isinstance(username, str) else "",
        expires_at,
    )


def new_refresh_token() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def refresh_token_hash(token: str) -> str:
    """Return what is stored of a refresh token; a fast hash will do for random bits."""
    return sha256(token.encode(errors="replace")).hexdigest()
