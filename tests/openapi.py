"""What the document of a listener is checked for: every operation asked, good and bad.

Requests are made from the document by schemathesis, the same in every run, and sent to a real
server on behalf of its administrator.
"""

from contextlib import suppress
from typing import Any

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


def document_of(house: House, url: str) -> dict[str, Any]:
    document: dict[str, Any] = house.http(url).get("/openapi.json").json()
    for path in (*STREAMS, *ENDS_OUR_LOGIN):
        document["paths"].pop(path, None)
    return document


def check_answers(house: House, url: str) -> None:
    """Ask every operation, good and bad: no 500, nothing undocumented.

    Raises AssertionError with what was wrong.
    """
    schema = schemathesis.openapi.from_dict(document_of(house, url))
    headers = {"Authorization": f"Bearer {house.login()}"}
    asked = 0
    faults: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            # What was asked before may have ended our login, as it is meant to.
            if session.get(f"{url}/api/v1/auth/me", headers=headers, timeout=5).status_code == 401:
                headers = {"Authorization": f"Bearer {house.login()}"}
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                cases = found.ok().as_strategy(generation_mode=mode)
                asked += _ask(cases, session, url, headers, faults)
    assert asked > 100
    assert faults == [], "\n".join(sorted(set(faults)))
    assert "a request failed" not in house.log()


def check_bodies(document: dict[str, Any]) -> None:
    """Every body has an example, and every POST that creates takes an Idempotency-Key."""
    without, creating = [], 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                named = schema.get("$ref", "").removeprefix("#/components/schemas/")
                schema = document["components"]["schemas"].get(named, schema)
                if not ({"example", "examples"} & (content.keys() | schema.keys())):
                    without.append(f"{method} {path} has no example")
            # Without a sign-in there is nobody whose key it could be.
            makes = method == "post" and {"201", "202"} & operation["responses"].keys()
            if makes and "security" in operation:
                creating += 1
                names = {each["name"].lower() for each in operation.get("parameters", ())}
                if "idempotency-key" not in names:
                    without.append(f"{method} {path} takes no key")
    assert creating
    assert without == []


def _ask(
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
