"""What every operation of the platform's and a listener's document answers."""

from collections.abc import Iterator

import pytest

from tests.house import House
from tests.openapi import check_answers, check_bodies, document_of

both = pytest.mark.parametrize("listener", ["platform", "medical"])


@pytest.fixture(scope="module")
def asked_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of its own: what is asked here makes organisations and signs people out."""
    house = House(tmp_path_factory.mktemp("asked"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def url_of(house: House, listener: str) -> str:
    return house.url if listener == "platform" else house.medical_url


@pytest.mark.slow
@pytest.mark.timeout(150)
@both
def test_nothing_fails_and_nothing_is_undocumented(asked_house: House, listener: str) -> None:
    check_answers(asked_house, url_of(asked_house, listener))


@both
def test_every_body_has_an_example_and_every_creation_a_key(
    asked_house: House, listener: str
) -> None:
    check_bodies(document_of(asked_house, url_of(asked_house, listener)))
