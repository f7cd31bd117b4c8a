"""A house of its own: keys that reach every device are for the only organisation of a server."""

from collections.abc import Iterator

import pytest

from tests.house import House
from tests.web.revocation.channels import APPS


@pytest.fixture(scope="package")
def own_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environment = {"FLEETWIRE_UNKNOWN_DEVICES": "quarantine"}
    if "farm" in APPS:
        environment["FLEETWIRE_APP_PORTS"] = "farm.coap=0"
    house = House(
        tmp_path_factory.mktemp("revoking"),
        apps=APPS,
        environment=environment,
    )
    try:
        house.start()
        yield house
    finally:
        house.close()
