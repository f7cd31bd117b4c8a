"""What every operation of the listener's document answers: no 500, nothing undocumented."""

from collections.abc import Iterator

import pytest

from tests.apps.tablets.house import tablets_house, url_of
from tests.house import House
from tests.openapi import check_answers, document_of

CREATE = ("/api/device", "/api/device/{id}/command", "/api/checkouts", "/api/user")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with tablets_house(tmp_path_factory.mktemp("tablets")) as house:
        yield house


def test_nothing_fails_and_nothing_is_undocumented(house: House) -> None:
    url = url_of(house)
    # Some of the requests must find something.
    house.http(url).post("/api/device", json={"deviceCode": "0"})
    check_answers(house, url)


def test_every_body_has_an_example(house: House) -> None:
    schemas = document_of(house, url_of(house))["components"]["schemas"]
    without = [
        name
        for name in schemas
        if name.endswith(("Body", "Change")) and "examples" not in schemas[name]
    ]
    assert without == []


def test_every_post_that_creates_takes_a_key(house: House) -> None:
    paths = document_of(house, url_of(house))["paths"]
    taking = {
        path
        for path, item in paths.items()
        for each in item.get("post", {}).get("parameters", ())
        if each["name"] == "Idempotency-Key"
    }
    assert {path for path in taking if not path.startswith("/api/v1")} == set(CREATE)
