"""From settings to what the access tokens of others are read by."""

from fleetwire.features.accounts.outside import ClaimRules
from fleetwire.settings import Settings


def claim_rules(settings: Settings) -> ClaimRules:
    """Return which claim of others' tokens says what."""
    auth = settings.auth
    return ClaimRules(
        subject=auth.jwt_subject_claim,
        email=auth.jwt_email_claim,
        username=auth.jwt_username_claim,
        organization=auth.jwt_organization_claim,
        role=auth.jwt_role_claim,
        roles=auth.jwt_roles,
        default_role=auth.jwt_default_role,
    )
