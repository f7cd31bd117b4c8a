"""What the document of an app's listener is checked for, with the app's own things in the house."""

from typing import Any

import requests
import schemathesis
from schemathesis import GenerationMode

from tests.house import House
from tests.routes.test_openapi import ask, document_of


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
                asked += ask(cases, session, url, headers, faults)
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
            if method == "post" and "201" in operation["responses"] and "security" in operation:
                creating += 1
                names = {each["name"].lower() for each in operation.get("parameters", ())}
                if "idempotency-key" not in names:
                    without.append(f"{method} {path} takes no key")
    assert creating
    assert without == []
