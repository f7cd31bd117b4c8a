"""What every operation of the app's document answers: no 500, nothing undocumented."""

from collections.abc import Iterator

import pytest

from tests.apps.vending.house import url_of, vending_house
from tests.house import House
from tests.openapi import check_answers, check_bodies, document_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = vending_house(tmp_path_factory.mktemp("vending"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def test_nothing_fails_and_nothing_is_undocumented(house: House) -> None:
    check_answers(house, url_of(house))


def test_every_body_has_an_example_and_every_creation_a_key(house: House) -> None:
    check_bodies(document_of(house, url_of(house)))
