"""What every operation of the farm's document answers: no 500, nothing undocumented."""

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from schemathesis import GenerationMode

from tests.apps.farm.house import farm_house, url_of
from tests.house import House
from tests.routes.test_openapi import ask, document_of

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
    schema = schemathesis.openapi.from_dict(document_of(house, url))
    headers = {"Authorization": f"Bearer {house.login()}"}
    asked = 0
    faults: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            if session.get(f"{url}/api/v1/auth/me", headers=headers, timeout=5).status_code == 401:
                headers = {"Authorization": f"Bearer {house.login()}"}
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                cases = found.ok().as_strategy(generation_mode=mode)
                asked += ask(cases, session, url, headers, faults)
    assert asked > 100
    assert faults == [], "\n".join(sorted(set(faults)))
    assert "a request failed" not in house.log()


def test_every_body_has_an_example_and_every_creation_a_key(house: House) -> None:
    document = document_of(house, url_of(house))
    without = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                named = schema.get("$ref", "").removeprefix("#/components/schemas/")
                schema = document["components"]["schemas"].get(named, schema)
                if not ({"example", "examples"} & (content.keys() | schema.keys())):
                    without.append(f"{method} {path}")
            if method == "post" and "201" in operation["responses"] and "security" in operation:
                names = {each["name"].lower() for each in operation.get("parameters", ())}
                assert "idempotency-key" in names, path
    assert without == []
