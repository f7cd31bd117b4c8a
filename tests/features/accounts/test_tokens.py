"""Access tokens: ours, those of others, and those that only look like one."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from fleetwire.errors import ForbiddenError, UnauthenticatedError
from fleetwire.features.accounts.errors import KeysUnavailableError
from fleetwire.features.accounts.keys import KEEP_S, PAUSE_S, KeySet
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.accounts.tokens import AccessTokens
from tests.features.accounts.conftest import HERE, PASSWORD, SECRET, People

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Any, key_id: str, algorithm: str) -> PyJWK:
    kinds = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}
    public = kinds[algorithm].to_jwk(key.public_key(), as_dict=True)
    return PyJWK({**public, "kid": key_id, "use": "sig"}, algorithm=algorithm)


class Issuer:
    """Keys that somebody else publishes; `fetches` counts how often they were asked for."""

    def __init__(self) -> None:
        self.keys = [jwk(RSA_KEY, "rsa", "RS256"), jwk(EC_KEY, "ec", "ES256")]
        self.fetches = 0
        self.is_away = False
        self.s = 0.0

    def __call__(self) -> list[PyJWK]:
        self.fetches += 1
        if self.is_away:
            raise jwt.PyJWKClientConnectionError("no route")
        return self.keys

    def key_set(self) -> KeySet:
        return KeySet("https://issuer.example/jwks.json", fetch=self, clock=lambda: self.s)


@pytest.fixture
def issuer(people: People) -> Issuer:
    """Let the accounts believe an outside issuer."""
    issuer = Issuer()
    people.accounts._access_tokens = AccessTokens(SECRET, issuer.key_set(), people.clock)
    return issuer


def claims(people: People, **more: Any) -> dict[str, Any]:
    found = {
        "sub": "ann@example.org",
        "user_id": 4711,
        "email": "ann@example.org",
        "username": "ann",
        "exp": people.clock() // 1_000_000 + 60,
    }
    return {name: value for name, value in (found | more).items() if value is not None}


def shared(people: People, **more: Any) -> str:
    """A token of somebody who shares our secret."""
    return jwt.encode(claims(people, **more), SECRET, algorithm="HS256")


def by_hand(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def refused(accounts: Accounts, token: str) -> str:
    with pytest.raises(UnauthenticatedError) as error:
        await accounts.authenticate_token(token, HERE)
    return str(error.value)


# --- ours ---


async def test_our_token_says_who_and_for_how_long(people: People) -> None:
    ann = await people.add("ann", "operator")
    token = (await people.accounts.login("ann", PASSWORD, HERE)).access_token
    found = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert found["sub"] == found["email"] == "ann@example.org"
    assert (found["user_id"], found["username"], found["role"]) == (ann.id, "ann", "operator")
    assert found["org"] == ann.organization_id
    assert found["exp"] - found["iat"] == 3600
    assert len(found["jti"]) == 32


async def test_our_token_expires_after_an_hour(people: People) -> None:
    token = (await people.accounts.login(*people.first, HERE)).access_token
    people.clock.advance(3599)
    assert await people.accounts.authenticate_token(token, HERE)
    people.clock.advance(2)
    assert "expired" in await refused(people.accounts, token)


async def test_a_token_of_ours_that_names_no_login_is_refused_as_nothing_could_end_it(
    people: People,
) -> None:
    await people.add("ann")
    token = (await people.accounts.login("ann", PASSWORD, HERE)).access_token
    found = jwt.decode(token, SECRET, algorithms=["HS256"])
    for login in (None, 7, ""):
        said = jwt.encode(found | {"sid": login}, SECRET, algorithm="HS256")
        assert "Sign in again" in await refused(people.accounts, said)
    del found["sid"]
    assert "names no login" in await refused(
        people.accounts, jwt.encode(found, SECRET, algorithm="HS256")
    )


async def test_our_token_follows_the_account_not_its_old_address(people: People) -> None:
    ann = await people.add("ann")
    token = (await people.accounts.login("ann", PASSWORD, HERE)).access_token
    await people.accounts.update(await people.owner(), ann.id, email="new@example.org")
    await people.add("other", email="ann@example.org")
    caller = await people.accounts.authenticate_token(token, HERE)
    assert caller.account_id == ann.id


# --- of others who share the secret ---


async def test_an_outside_token_finds_its_account_by_e_mail(people: People) -> None:
    ann = await people.add("ann", "operator")
    token = shared(people, username="somebody", email="ANN@example.org", role="owner")
    caller = await people.accounts.authenticate_token(token, HERE)
    assert (caller.account_id, caller.role) == (ann.id, "operator")  # the role is ours to say


async def test_an_outside_token_without_e_mail_finds_its_account_by_user_name(
    people: People,
) -> None:
    ann = await people.add("ann")
    token = shared(people, email=None, sub=None)
    assert (await people.accounts.authenticate_token(token, HERE)).account_id == ann.id


async def test_a_user_name_does_not_overrule_a_foreign_e_mail(people: People) -> None:
    await people.add("ann")
    token = shared(people, email="mallory@example.net", sub="mallory@example.net")
    with pytest.raises(ForbiddenError, match=r"mallory@example\.net"):
        await people.accounts.authenticate_token(token, HERE)


async def test_an_outside_users_number_is_not_ours(people: People) -> None:
    await people.add("ann")
    token = shared(people, user_id=1)  # our owner's key
    assert (await people.accounts.authenticate_token(token, HERE)).username == "ann"


async def test_an_unknown_person_is_told_which_address_has_no_account(people: People) -> None:
    with pytest.raises(ForbiddenError, match=r"ann@example\.org.*no account"):
        await people.accounts.authenticate_token(shared(people), HERE)


async def test_an_unverified_address_proves_nothing(people: People) -> None:
    await people.add("ann")
    token = shared(people, email_verified=False)
    assert "not verified" in await refused(people.accounts, token)


@pytest.mark.parametrize("exp", [0, 1.5, -1, "9999999999", True, float("inf"), float("nan"), [1]])
async def test_a_token_ends_at_a_time_that_is_one(people: People, exp: Any) -> None:
    await people.add("ann")
    token = jwt.encode(claims(people, exp=None), SECRET, algorithm="HS256")
    head, _, _ = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(people, exp=exp)).encode()).rstrip(b"=")
    signed = f"{head}.{body.decode()}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signed.encode(), SECRET.encode()
    )
    token = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await refused(people.accounts, token)


@pytest.mark.parametrize("exp", [1e300, 10**400])
async def test_a_token_of_somebody_else_may_live_long_but_not_past_all_clocks(
    people: People, exp: float
) -> None:
    await people.add("ann")
    token = shared(people, exp=exp)
    _, expires_at = await people.accounts.identify(token, HERE)
    assert expires_at == 253_402_300_799_000_000


async def test_a_token_without_an_end_is_refused(people: People) -> None:
    await people.add("ann")
    assert "exp" in await refused(people.accounts, shared(people, exp=None))


async def test_a_token_for_later_is_refused_until_then(people: People) -> None:
    await people.add("ann")
    now_s = people.clock() // 1_000_000
    token = shared(people, nbf=now_s + 300, exp=now_s + 900)
    assert "not valid yet" in await refused(people.accounts, token)
    people.clock.advance(300)
    assert await people.accounts.authenticate_token(token, HERE)


# --- what only looks like a token ---


async def test_a_wrong_signature_is_refused(people: People) -> None:
    await people.add("ann")
    token = jwt.encode(claims(people), SECRET + "!", algorithm="HS256")
    assert "not genuine" in await refused(people.accounts, token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "HS512", ["HS256"], 1])
async def test_no_algorithm_and_other_algorithms_are_refused(
    people: People, issuer: Issuer, algorithm: Any
) -> None:
    await people.add("ann")
    token = by_hand({"alg": algorithm, "typ": "JWT"}, claims(people))
    await refused(people.accounts, token)


async def test_a_public_key_is_no_secret(people: People, issuer: Issuer) -> None:
    # The classic confusion: HS256 signed with the public key that checks RS256.
    await people.add("ann")
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    unsigned = by_hand({"alg": "HS256", "kid": "rsa"}, claims(people)).rsplit(".", 1)[0]
    for key in (RSA_PEM, RSA_PEM.strip(), b""):
        signature = base64.urlsafe_b64encode(hmac.sign(unsigned.encode(), key)).rstrip(b"=")
        await refused(people.accounts, f"{unsigned}.{signature.decode()}")


@pytest.mark.parametrize(("algorithm", "key_id"), [("RS256", "ec"), ("ES256", "rsa")])
async def test_a_key_is_used_for_its_own_algorithm_only(
    people: People, issuer: Issuer, algorithm: str, key_id: str
) -> None:
    await people.add("ann")
    key = {"RS256": RSA_KEY, "ES256": EC_KEY}[algorithm]
    token = jwt.encode(claims(people), key, algorithm=algorithm, headers={"kid": key_id})
    assert "unknown key" in await refused(people.accounts, token)


async def test_public_keys_are_not_believed_unless_asked_for(people: People) -> None:
    await people.add("ann")
    token = jwt.encode(claims(people), RSA_KEY, algorithm="RS256", headers={"kid": "rsa"})
    assert "not accepted here" in await refused(people.accounts, token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800.x.y",
        by_hand({"alg": "HS256"}, {}) + ".x",
        base64.urlsafe_b64encode(b"[" * 20_000).decode() + ".e30.x",
        base64.urlsafe_b64encode(b'{"alg":' + b"9" * 5000 + b"}").decode() + ".e30.x",
    ],
)
async def test_rubbish_is_refused(people: People, token: str) -> None:
    await refused(people.accounts, token)


# --- of an issuer with public keys ---


@pytest.mark.parametrize(("algorithm", "key_id"), [("RS256", "rsa"), ("ES256", "ec")])
async def test_tokens_of_the_issuer_are_believed(
    people: People, issuer: Issuer, algorithm: str, key_id: str
) -> None:
    ann = await people.add("ann")
    key = {"RS256": RSA_KEY, "ES256": EC_KEY}[algorithm]
    token = jwt.encode(claims(people), key, algorithm=algorithm, headers={"kid": key_id})
    assert (await people.accounts.authenticate_token(token, HERE)).account_id == ann.id
    stranger = jwt.encode(
        claims(people),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        algorithm="RS256",
        headers={"kid": "rsa"},
    )
    assert "not genuine" in await refused(people.accounts, stranger)


async def test_the_issuer_cannot_name_our_accounts_by_number(
    people: People, issuer: Issuer
) -> None:
    await people.add("ann")
    token = jwt.encode(
        claims(people, iss="fleetwire", user_id=1), RSA_KEY, "RS256", headers={"kid": "rsa"}
    )
    assert (await people.accounts.authenticate_token(token, HERE)).username == "ann"


async def test_a_token_without_a_key_id_is_checked_with_the_only_key(
    people: People, issuer: Issuer
) -> None:
    await people.add("ann")
    token = jwt.encode(claims(people), RSA_KEY, algorithm="RS256")
    assert "unknown key" in await refused(people.accounts, token)
    issuer.keys = issuer.keys[:1]
    issuer.s += KEEP_S + 1
    assert await people.accounts.authenticate_token(token, HERE)


async def test_unknown_key_ids_do_not_make_us_ask_the_issuer_again_and_again() -> None:
    issuer = Issuer()
    keys = issuer.key_set()
    for number in range(50):
        assert await keys.find(f"made up {number}") is None
    assert issuer.fetches == 1
    issuer.s += PAUSE_S
    assert await keys.find("rsa") is not None
    assert await keys.find("made up") is None
    assert issuer.fetches == 2


async def test_known_keys_stay_in_use_while_the_issuer_is_away() -> None:
    issuer = Issuer()
    keys = issuer.key_set()
    assert await keys.find("rsa") is not None
    issuer.is_away = True
    issuer.s += KEEP_S + 1
    assert await keys.find("rsa") is not None
    assert issuer.fetches == 2


async def test_a_withdrawn_key_is_not_believed_for_long() -> None:
    issuer = Issuer()
    keys = issuer.key_set()
    assert await keys.find("ec") is not None
    issuer.keys = issuer.keys[:1]
    issuer.s += KEEP_S + 1
    assert await keys.find("ec") is None


async def test_without_any_key_it_says_try_again_and_not_that_the_token_is_wrong() -> None:
    issuer = Issuer()
    issuer.is_away = True
    keys = issuer.key_set()
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")
    issuer.is_away = False
    issuer.s += PAUSE_S
    assert await keys.find("rsa") is not None
