"""What every operation of the farm's document answers: no 500, nothing undocumented."""

from collections.abc import Iterator

import pytest

from tests.apps.farm.house import farm_house, url_of
from tests.house import House
from tests.openapi import check_answers, check_bodies, document_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = farm_house(tmp_path_factory.mktemp("farm"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def test_nothing_fails_and_nothing_is_undocumented(house: House) -> None:
    url = url_of(house)
    http = house.http(url)
    sensor = http.post("/api/v1/sensors", json={"name": "Soil"}).json()["data"]["sensor"]
    body = {"variableName": "moisture", "sensorId": sensor["id"]}
    assert http.post("/api/v1/telemetry", json=body).status_code == 201
    check_answers(house, url)


def test_every_body_has_an_example_and_every_creation_a_key(house: House) -> None:
    check_bodies(document_of(house, url_of(house)))
