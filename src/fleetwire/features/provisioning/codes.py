"""Claim codes: short, easy to read aloud and to type, with a check character at the end.

`7KQ4-M2ZD-9XRA`: of 31 signs, none of which looks like another one (no 0 O 1 I L). As 31 is prime,
the check character finds every single wrong sign and every two that were swapped. The eleven before
it are 54 random bits: nobody guesses one over the network, where each wrong one costs a wait.
"""

import hmac
from typing import Final

from fleetwire.errors import InvalidValueError

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
RANDOM_CHARS: Final = 11
GROUP: Final = 4

_SIZE = len(ALPHABET)
_VALUES = {sign: value for value, sign in enumerate(ALPHABET)}


def make(secret: bytes, nonce: str) -> str:
    """Return the code of a nonce, in groups; the same secret always makes the same code of it."""
    number = int.from_bytes(hmac.digest(secret, b"claim code " + nonce.encode(), "sha256"), "big")
    signs = []
    for _ in range(RANDOM_CHARS):  # 256 bits taken modulo 31, eleven times: even enough by far
        number, value = divmod(number, _SIZE)
        signs.append(ALPHABET[value])
    return grouped("".join(signs) + _check_character("".join(signs)))


def clean(text: str) -> str:
    """Return a code as it was made, from what somebody typed: case, blanks and dashes may differ.

    Raises InvalidValueError if it cannot be a code, in words that help whoever mistyped it.
    """
    signs = "".join(sign for sign in text.upper() if sign not in " -\t")
    if len(signs) != RANDOM_CHARS + 1:
        raise InvalidValueError(
            f"A claim code has {RANDOM_CHARS + 1} signs such as 7KQ4-M2ZD-9XRA.", field="code"
        )
    for sign in signs:
        if sign not in _VALUES:
            raise InvalidValueError(
                f"A claim code has no {sign!r} in it: only 2 to 9, and letters but I, L and O.",
                field="code",
            )
    if _check_character(signs[:-1]) != signs[-1]:
        raise InvalidValueError("The claim code is mistyped: look at it again.", field="code")
    return grouped(signs)


def grouped(signs: str) -> str:
    """Return signs in groups with dashes between them."""
    return "-".join(signs[start : start + GROUP] for start in range(0, len(signs), GROUP))


def hash_of(secret: bytes, code: str) -> str:
    """Return the form in which a code is looked up: without the secret it tells nothing of it."""
    return hmac.new(secret, b"claim " + code.encode(), "sha256").hexdigest()


def _check_character(signs: str) -> str:
    weighted = sum(place * _VALUES[sign] for place, sign in enumerate(signs, 1))
    # Weights 1 to 11 and, for this one, 30: all different and none of them 0 modulo 31.
    return ALPHABET[weighted % _SIZE]
