"""Claim codes: what a person mistypes is found before anybody is asked."""

from itertools import combinations

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.provisioning import codes

CODE = codes.make(b"secret", "nonce")


def test_a_code_is_three_groups_of_four_signs_that_look_alike_to_none() -> None:
    groups = CODE.split("-")
    assert [len(group) for group in groups] == [4, 4, 4]
    assert set("".join(groups)) <= set(codes.ALPHABET)
    assert not set(codes.ALPHABET) & set("0O1IL")


def test_the_same_secret_and_nonce_make_the_same_code_and_no_other_does() -> None:
    assert codes.make(b"secret", "nonce") == CODE
    assert codes.make(b"secret", "other") != CODE
    assert codes.make(b"other", "nonce") != CODE
    assert codes.hash_of(b"secret", CODE) != codes.hash_of(b"other", CODE)


@pytest.mark.parametrize(
    "typed", [CODE.lower(), CODE.replace("-", ""), f" {CODE.replace('-', ' ')} "]
)
def test_case_blanks_and_dashes_do_not_matter(typed: str) -> None:
    assert codes.clean(typed) == CODE


def test_every_single_wrong_sign_is_found() -> None:
    signs = CODE.replace("-", "")
    for place, sign in enumerate(signs):
        for wrong in codes.ALPHABET.replace(sign, ""):
            with pytest.raises(InvalidValueError, match="mistyped"):
                codes.clean(signs[:place] + wrong + signs[place + 1 :])


def test_every_two_swapped_signs_are_found() -> None:
    signs = list(CODE.replace("-", ""))
    tried = 0
    for one, other in combinations(range(len(signs)), 2):
        if signs[one] == signs[other]:
            continue
        tried += 1
        swapped = signs.copy()
        swapped[one], swapped[other] = swapped[other], swapped[one]
        with pytest.raises(InvalidValueError, match="mistyped"):
            codes.clean("".join(swapped))
    assert tried > 50


@pytest.mark.parametrize(
    ("typed", "said"), [("", "12 signs"), (CODE + "2", "12 signs"), ("0" * 12, "no '0' in it")]
)
def test_what_cannot_be_a_code_is_refused_in_words_that_help(typed: str, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said) as error:
        codes.clean(typed)
    assert error.value.field == "code"
