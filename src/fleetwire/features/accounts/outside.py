"""What the access tokens of others say of a person, and how it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from fleetwire.errors import ForbiddenError, UnauthenticatedError
from fleetwire.features.accounts.permissions import ROLES


class Outsider(msgspec.Struct, frozen=True):
    """Somebody as another issuer knows him; "" is what was not said.

    `role` is one of ours, None if tokens do not say it. `organization` is a name or number as it
    was said, None if tokens do not say it. `said_at_s` orders the tokens of one person.
    """

    email: str
    username: str
    full_name: str
    subject: str
    issuer: str
    role: str | None
    organization: str | None
    said_at_s: float

    @property
    def name(self) -> str:
        """What he is called in a message to him."""
        return (self.email or self.username or self.subject or "This person")[:320]


@dataclass(frozen=True)
class ClaimRules:
    """Which claim says what. A name with dots also means a claim inside a claim.

    `roles` says which role of ours a value of the role claim stands for; without it they are called
    as ours. `default_role` is for whom no value says one; None = he is refused, unless he has an
    account.
    """

    subject: str = "sub"
    email: str = "email"
    username: str = "username"
    organization: str | None = None
    role: str | None = None
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default_role: str | None = None

    def read(self, claims: Mapping[str, Any]) -> Outsider:
        """Return whom the claims speak of.

        Raises UnauthenticatedError if they prove nothing, ForbiddenError for a role that is none.
        """
        if claims.get("email_verified") in (False, "false"):  # some issuers write text
            raise UnauthenticatedError("The access token's e-mail address is not verified.")
        subject = _text(_find(claims, self.subject))
        email = _text(_find(claims, self.email)) or subject
        said_at = claims.get("iat", claims["exp"])
        return Outsider(
            email=email if "@" in email else "",
            username=_text(_find(claims, self.username)) or ("" if "@" in email else subject),
            full_name=_text(claims.get("name")),
            subject=subject,
            issuer=_text(claims.get("iss")),
            role=self._role(claims),
            organization=self._organization(claims),
            said_at_s=float(said_at) if _is_instant(said_at) else 0.0,
        )

    def _role(self, claims: Mapping[str, Any]) -> str | None:
        if self.role is None:
            return None
        said = _find(claims, self.role)
        values = said if isinstance(said, list) else [said]
        mapping = self.roles or {role: role for role in ROLES}
        found = [mapping[each] for each in values if isinstance(each, str) and each in mapping]
        if found:
            return max(found, key=ROLES.index)
        if self.default_role is not None:
            return self.default_role
        raise ForbiddenError(
            f"The access token's claim {self.role!r} is {_shown(said)}, which stands for no role "
            "here: FLEETWIRE_JWT_ROLES says which values do, FLEETWIRE_JWT_DEFAULT_ROLE what all "
            "others get."
        )

    def _organization(self, claims: Mapping[str, Any]) -> str | None:
        if self.organization is None:
            return None
        said = _find(claims, self.organization)
        if type(said) is int or (isinstance(said, str) and said.strip()):
            return str(said).strip()
        raise ForbiddenError(
            f"The access token's claim {self.organization!r} is {_shown(said)}, which names no "
            "organisation: FLEETWIRE_JWT_ORGANIZATION_CLAIM says which claim does."
        )


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim: of this very name, or inside others; None if there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _is_instant(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e18


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:100]
