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
from fleetwire.features.accounts.outside import ClaimRules, Outsider

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
    the account's tokens and the login; those of others speak of an `outsider`.
    """

    account_id: int | None
    email: str
    username: str
    expires_at: int
    organization_id: int | None = None
    version: int | None = None
    login: str | None = None
    outsider: Outsider | None = None


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
        claim_rules: ClaimRules | None = None,
    ) -> None:
        self._claim_rules = ClaimRules() if claim_rules is None else claim_rules
        self._audience = audience
        self._issuer = issuer
        self._secret = secret
        self._keys = keys
        self._clock = clock

    @property
    def default_role(self) -> str | None:
        """The role of whom others speak of and nobody knows; None = he is refused."""
        return self._claim_rules.default_role

    def issue(self, account: Account, version: int, login: str) -> str:
        """Return a token that is good for ACCESS_LIFE_S seconds, in the account's organisation.

        It ends with the login.
        """
        issued_s = self._clock() // 1_000_000
        claims = {
            "iss": _ISSUER,
            "sub": account.email or account.username,
            "user_id": account.id,
            "email": account.email,
            "username": account.username,
            "role": account.role,
            "org": account.organization_id,
            "ver": version,
            "sid": login,
            "iat": issued_s,
            "exp": issued_s + ACCESS_LIFE_S,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def verify(self, token: str) -> Claims:
        """Return what a token says.

        Raises UnauthenticatedError, KeysUnavailableError; ForbiddenError if it is genuine, but says
        no role or organisation that is one here.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm == "HS256":
                claims = jwt.decode(token, self._secret, algorithms=["HS256"], options=_CHECKS)
                is_our_secret = True
            elif algorithm in _KEY_TYPES and self._keys is not None:
                key = await self._keys.find(header.get("kid"))
                if key is None or key.key_type != _KEY_TYPES[algorithm]:
                    raise UnauthenticatedError(
                        "The access token is signed with an unknown key: the keys at "
                        f"FLEETWIRE_JWKS_URL have none with kid {_said(header.get('kid'))} for "
                        f"{algorithm}."
                    )
                claims = jwt.decode(token, key.key, algorithms=[algorithm], options=_CHECKS)
                is_our_secret = False
            else:
                raise UnauthenticatedError(
                    f"The access token is signed in a way not accepted here: its alg is "
                    f"{_said(algorithm)}. HS256 is with FLEETWIRE_JWT_SECRET; RS256 and ES256 are "
                    "with FLEETWIRE_JWKS_URL set."
                )
        except jwt.MissingRequiredClaimError:
            raise UnauthenticatedError("The access token has no exp (end of its life).") from None
        # What is not a token at all can fail in many ways, deep nesting among them.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise UnauthenticatedError("The access token is not genuine.") from None
        self._check_time(claims)
        user_id = claims.get("user_id")
        if is_our_secret and claims.get("iss") == _ISSUER and type(user_id) is int:
            return _ours(claims, user_id)
        self._check_origin(claims)
        outsider = self._claim_rules.read(claims)
        end_at = _end_at(claims)
        return Claims(None, outsider.email, outsider.username, end_at, outsider=outsider)

    def _check_origin(self, claims: dict[str, Any]) -> None:
        """Refuse others' tokens that are not from whom, or not for whom, the settings say."""
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise UnauthenticatedError(
                f"The access token is of another issuer: its iss is {_said(claims.get('iss'))}, "
                f"FLEETWIRE_JWT_ISSUER is {self._issuer!r}."
            )
        said = claims.get("aud")
        if self._audience is not None and self._audience not in (
            said if isinstance(said, list) else [said]
        ):
            raise UnauthenticatedError(
                f"The access token is meant for somebody else: its aud is {_said(said)}, "
                f"FLEETWIRE_JWT_AUDIENCE is {self._audience!r}."
            )

    def _check_time(self, claims: dict[str, Any]) -> None:
        now_s = self._clock() / 1e6
        if not _instant(claims, "exp") > now_s:
            raise UnauthenticatedError("The access token has expired.")
        if "nbf" in claims and _instant(claims, "nbf") > now_s + NOT_BEFORE_LEEWAY_S:
            raise UnauthenticatedError("The access token is not valid yet.")


def _ours(claims: dict[str, Any], account_id: int) -> Claims:
    organization_id, version = claims.get("org"), claims.get("ver", 0)
    login = claims.get("sid")
    return Claims(
        account_id,
        "",
        "",
        _end_at(claims),
        organization_id if type(organization_id) is int else None,
        version if type(version) is int else 0,
        login if isinstance(login, str) else None,
    )


def _end_at(claims: dict[str, Any]) -> int:
    return int(min(_instant(claims, "exp"), LATEST_S) * 1_000_000)


def _said(value: Any) -> str:
    return "missing" if value is None else repr(value)[:100]


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # which may be too large for a float
    if not isinstance(value, float) or not math.isfinite(value):
        raise UnauthenticatedError(f"The access token's {name} is not a number of seconds.")
    return value


def new_refresh_token() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def hash_of_token(token: str) -> str:
    """Return what is stored of a random token; a fast hash will do for random bits."""
    return sha256(token.encode(errors="replace")).hexdigest()
