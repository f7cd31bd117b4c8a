"""SCRAM-SHA-256: the standard's own example, and clients that do not follow it."""

from base64 import b64decode, b64encode

import pytest

from fleetwire.protocol.scram import (
    LONGEST_MESSAGE,
    ScramError,
    ScramServer,
    Verifier,
    WrongProofError,
    derive,
    feigned_salt,
)
from tests.scram_client import ScramClient

# RFC 7677 §3.
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def pencil() -> Verifier:
    return derive(b"pencil", SALT)


def asked() -> ScramServer:
    """An exchange in which the client's proof is next."""
    server = ScramServer(CLIENT_FIRST, SERVER_NONCE)
    server.challenge(SALT, 4096)
    return server


def test_the_example_of_the_standard_is_spoken_byte_for_byte() -> None:
    server = ScramServer(CLIENT_FIRST, SERVER_NONCE)
    assert server.username == "user"
    assert server.challenge(SALT, 4096) == SERVER_FIRST
    assert server.prove(CLIENT_FINAL, [pencil()]) == (0, SERVER_FINAL)


def test_our_own_client_speaks_it_too() -> None:
    client = ScramClient("user", "pencil")
    assert client.first == CLIENT_FIRST
    assert client.final(SERVER_FIRST) == CLIENT_FINAL
    assert client.server_signature == SERVER_FINAL


def test_of_several_passwords_the_one_that_was_used_is_found() -> None:
    verifiers = [derive(b"pen", SALT), pencil(), derive(b"brush", SALT)]
    assert asked().prove(CLIENT_FINAL, verifiers) == (1, SERVER_FINAL)


@pytest.mark.parametrize("verifiers", [[], [derive(b"pen", SALT)]])
def test_a_wrong_password_and_a_user_that_is_not_there_fail_alike(
    verifiers: list[Verifier],
) -> None:
    with pytest.raises(WrongProofError, match="wrong user name or password"):
        asked().prove(CLIENT_FINAL, verifiers)


def test_a_proof_of_another_exchange_is_worth_nothing() -> None:
    server = ScramServer(CLIENT_FIRST, "another")
    server.challenge(SALT, 4096)
    with pytest.raises(ScramError, match="nonce is not that of this exchange"):
        server.prove(CLIENT_FINAL, [pencil()])
    replayed = CLIENT_FINAL.replace(SERVER_NONCE.encode(), b"another")
    with pytest.raises(WrongProofError):
        server.prove(replayed, [pencil()])


def test_a_user_name_may_hold_commas_and_equals_signs() -> None:
    client = ScramClient("a=b,c", "x")
    assert b"n=a=3Db=2Cc" in client.first
    assert ScramServer(client.first, "s").username == "a=b,c"


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (b"", "does not begin"),
        (b"n", "does not begin"),
        (b"n,,", "no nonce"),
        (b"n,", "ends in its header"),
        (b"x,,n=u,r=1", "does not begin"),
        (b"p=tls-unique,,n=u,r=1", "channel binding"),
        (b"n,a=v,n=u,r=1", "act for somebody else"),
        (b"n,,m=x,n=u,r=1", "extension"),
        (b"n,,r=1,n=u", "no n="),
        (b"n,,n=,r=1", "no n="),
        (b"n,,n=u,r=", "no r="),
        (b"n,,n=u=41,r=1", "stands for nothing"),
        (b"n,,n=u,r=\x7f", "printable"),
        (b"n,,n=u,r=" + b"x" * 257, "at most 256"),
        (b"n,,n=\xff,r=1", "not UTF-8"),
        (b"n,,n=\0,r=1", r"U\+0000"),
        (b"n,,n=u,r=" + b"x" * LONGEST_MESSAGE, "longer than"),
    ],
)
def test_a_first_message_that_is_none_is_refused_with_its_fault(message: bytes, fault: str) -> None:
    with pytest.raises(ScramError, match=fault):
        ScramServer(message, "s")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b",p=", b",q=", "no proof"),
        (b"c=biws", b"c=eSws", "another channel"),
        (b"c=biws", b"c=%%%%", "base64"),
        (b"dHzb", b"dH", "base64|32 bytes"),
        (b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", b"AAAA", "32 bytes"),
        (b"c=biws,", b"", "no nonce"),
        (b"r=", b"m=", "extension"),
    ],
)
def test_a_final_message_that_is_none_is_refused_with_its_fault(
    old: bytes, new: bytes, fault: str
) -> None:
    message = CLIENT_FINAL.replace(old, new)
    assert message != CLIENT_FINAL
    with pytest.raises(ScramError, match=fault):
        asked().prove(message, [pencil()])


def test_the_header_that_the_client_sent_is_what_it_must_bind_to() -> None:
    server = ScramServer(b"y,,n=user,r=rOprNGfwEbeRWgbNEkqO", SERVER_NONCE)
    server.challenge(SALT, 4096)
    bound = CLIENT_FINAL.replace(b"c=biws", b"c=" + b64encode(b"y,,"))
    with pytest.raises(WrongProofError):  # the proof was made over the other header
        server.prove(bound, [pencil()])


def test_nobodys_salt_is_the_same_each_time_and_differs_by_name_and_secret() -> None:
    assert feigned_salt(b"secret", "ann") == feigned_salt(b"secret", "ann")
    assert len(feigned_salt(b"secret", "ann")) == 16
    different = {feigned_salt(s, n) for s in (b"secret", b"other") for n in ("ann", "bob")}
    assert len(different) == 4
