"""Signing in: the secret, the keys of others, and whether the server asks who we are."""

import os

from fleetwire.cli.checks.finding import TIMEOUT_S, Finding
from fleetwire.cli.checks.ports import root_of
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.settings import Settings


def check_authentication(settings: Settings, running: bool) -> list[Finding]:
    """Look at the signing secret, the JWKS URL, and whether the server asks who we are."""
    findings = [_check_secret(settings)]
    if settings.auth.jwks_url is not None:
        findings.append(_check_jwks(settings.auth.jwks_url))
    if running:
        findings.append(_check_token(settings))
    return findings


def _check_secret(settings: Settings) -> Finding:
    if settings.auth.jwt_secret is not None:
        return Finding("token secret", "good", "set")
    path = settings.data_dir / "jwt.secret"
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("token secret", "good", f"{path} (made at the first start)")
    except OSError as error:
        found = f"{path} cannot be read: {error.strerror}"
        return Finding("token secret", "wrong", found, "Give it to the user that runs Fleetwire.")
    if mode & 0o077:
        advice = f"Anyone who reads it can sign in as anybody: chmod 600 {path}"
        return Finding("token secret", "wrong", f"{path} is open to others ({mode:o})", advice)
    if not os.access(path, os.R_OK):
        advice = "Give it to the user that runs Fleetwire."
        return Finding("token secret", "wrong", f"{path} cannot be read", advice)
    return Finding("token secret", "good", str(path))


def _check_jwks(url: str) -> Finding:
    try:
        answer = RestClient(url, timeout_s=TIMEOUT_S).get("")
        keys = answer["keys"] if isinstance(answer, dict) else None
    except (RestError, KeyError) as error:
        advice = "Correct FLEETWIRE_JWKS_URL, or see why that server does not answer."
        return Finding("token keys", "wrong", f"{url}: {error}", advice)
    if not isinstance(keys, list) or not keys:
        advice = "FLEETWIRE_JWKS_URL must name a JSON Web Key Set."
        return Finding("token keys", "wrong", f"{url} holds no keys", advice)
    return Finding("token keys", "good", f"{url} holds {len(keys)}")


def _check_token(settings: Settings) -> Finding:
    client = RestClient(
        root_of(settings, settings.http_port), settings.client.token, timeout_s=TIMEOUT_S
    )
    has_token = settings.client.token is not None
    try:
        client.get("/api/v1/auth/me")
    except RestError as error:
        if error.status == 401 and not has_token:
            return Finding("sign-in", "good", "the server asks who we are")
        advice = "Get a new one: export FLEETWIRE_TOKEN=$(fleetwire login)" if has_token else ""
        return Finding("sign-in", "wrong", str(error), advice)
    if has_token:
        return Finding("sign-in", "good", "FLEETWIRE_TOKEN is accepted")
    return Finding("sign-in", "wrong", "the server shows an account to somebody without a token")
