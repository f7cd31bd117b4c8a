"""A house of its own: keys that reach every device are for the only organisation of a server."""

from collections.abc import Iterator

import pytest

from tests.house import House


@pytest.fixture(scope="package")
def own_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("revoking"), environment={"FLEETWIRE_UNKNOWN_DEVICES": "quarantine"}
    )
    try:
        house.start()
        yield house
    finally:
        house.close()
