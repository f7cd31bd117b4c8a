"""What every operation of the listener's document answers: no 500, nothing undocumented."""

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from schemathesis import GenerationMode

from tests.apps.tablets.house import url_of
from tests.house import House
from tests.routes.test_openapi import ask, document_of


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("tablets"), apps=("tablets",))
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_nothing_fails_and_nothing_is_undocumented(house: House) -> None:
    url = url_of(house)
    schema = schemathesis.openapi.from_dict(document_of(house, url))
    # Some of the requests must find something.
    house.http(url).post("/api/device", json={"deviceCode": "0"})
    headers = {"Authorization": f"Bearer {house.login()}"}
    asked = 0
    faults: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                cases = found.ok().as_strategy(generation_mode=mode)
                asked += ask(cases, session, url, headers, faults)
    assert asked > 100

    assert faults == [], "\n".join(sorted(set(faults)))


@pytest.mark.slow
def test_every_body_has_an_example(house: House) -> None:
    document = document_of(house, url_of(house))
    schemas = document["components"]["schemas"]
    without = [
        name
        for name in schemas
        if name.endswith(("Body", "Change")) and "examples" not in schemas[name]
    ]
    assert without == []
