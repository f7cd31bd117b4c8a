"""What every operation of every listener's document answers: no 500, nothing undocumented.

Requests are made from the document by schemathesis, good ones and bad ones, the same in every run,
and sent to a real server on behalf of its administrator.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    status_code_conformance,
)
from schemathesis.core.failures import FailureGroup

from tests.house import House

EXAMPLES = 5  # of good and of bad requests each, for each operation
TIMEOUT_S = 10.0
# Their good answers are streams, which have no end to wait for.
STREAMS = ("/api/v1/broker/trace", "/api/v1/realtime/events")
ENDS_OUR_LOGIN = ("/api/v1/auth/change-password",)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def asked_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of its own: what is asked here makes organisations and signs people out."""
    house = House(tmp_path_factory.mktemp("asked"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def document_of(house: House, url: str) -> dict[str, Any]:
    document: dict[str, Any] = house.http(url).get("/openapi.json").json()
    for path in (*STREAMS, *ENDS_OUR_LOGIN):
        document["paths"].pop(path, None)
    return document


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("listener", ["platform", "medical"])
def test_nothing_fails_and_nothing_is_undocumented(asked_house: House, listener: str) -> None:
    url = asked_house.url if listener == "platform" else asked_house.medical_url
    schema = schemathesis.openapi.from_dict(document_of(asked_house, url))
    headers: dict[str, str] = {}
    asked = 0
    faults: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            # What was asked before may have ended our login, as it is meant to.
            if session.get(f"{url}/api/v1/auth/me", headers=headers, timeout=5).status_code == 401:
                headers = {"Authorization": f"Bearer {asked_house.login()}"}
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                cases = found.ok().as_strategy(generation_mode=mode)
                asked += ask(cases, session, url, headers, faults)
    assert asked > 100
    assert faults == []


def ask(
    cases: Any, session: requests.Session, url: str, headers: dict[str, str], faults: list[str]
) -> int:
    """Send cases, note what is wrong with their answers, and return how many were sent."""
    asked = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: Case) -> None:
        nonlocal asked
        asked += 1
        answer = case.call(base_url=url, session=session, headers=headers, timeout=TIMEOUT_S)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as failures:
            faults.extend(f"{case.method} {case.path}: {each}" for each in failures.exceptions)

    with suppress(Unsatisfiable):  # what takes nothing cannot be sent anything bad
        send()
    return asked


@pytest.mark.parametrize("listener", ["platform", "medical"])
def test_every_body_has_an_example(asked_house: House, listener: str) -> None:
    url = asked_house.url if listener == "platform" else asked_house.medical_url
    document = document_of(asked_house, url)
    without = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                named = schema.get("$ref", "").removeprefix("#/components/schemas/")
                schema = document["components"]["schemas"].get(named, schema)
                if not ({"example", "examples"} & (content.keys() | schema.keys())):
                    without.append(f"{method} {path}")
    assert without == []


@pytest.mark.parametrize("listener", ["platform", "medical"])
def test_every_post_that_creates_takes_an_idempotency_key(
    asked_house: House, listener: str
) -> None:
    url = asked_house.url if listener == "platform" else asked_house.medical_url
    creating = {
        path: item["post"]
        for path, item in document_of(asked_house, url)["paths"].items()
        if {"201", "202"} & item.get("post", {}).get("responses", {}).keys()
        and "security" in item["post"]  # else there is nobody whose key it could be
    }
    assert creating
    for path, operation in creating.items():
        names = {each["name"].lower() for each in operation.get("parameters", ())}
        assert "idempotency-key" in names, path
