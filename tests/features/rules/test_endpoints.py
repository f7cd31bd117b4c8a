"""Rule chains over HTTP."""

from typing import Any

import httpx

from tests.features.rules.house import RuleHub, leaf

RULES = "/api/v1/rules"


def chain(**said: Any) -> dict[str, Any]:
    filter_ = {"id": "f", "type": "filter", "config": leaf(), "next": "a"}
    action = {"id": "a", "type": "action", "config": {"type": "ALARM", "alarm": {"name": "hot"}}}
    return {"app": "barn", "id": "c", "name": "Hot", "nodes": [filter_, action]} | said


async def made(http: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await http.post(RULES, json=chain(**said))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_chain_is_made_read_changed_run_and_removed(hub: RuleHub) -> None:
    http = hub.http("platform")
    first = await made(http)
    read = await http.get(f"{RULES}/barn/c")
    assert read.json() == first
    changed = await http.patch(
        f"{RULES}/barn/c", json={"name": "Hotter"}, headers={"If-Match": read.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["name"]) == (200, "Hotter")
    assert changed.json()["nodes"] == first["nodes"]
    await hub.send(temperature=31)
    runs = (await http.get(f"{RULES}/barn/c/executions")).json()["items"]
    assert [(run["outcome"], run["nodes"][0]["inputs"]) for run in runs] == [
        ("completed", {"s-1.temperature": 31})
    ]
    by_hand = await http.post(f"{RULES}/barn/c/run", json={"trigger": "t"})
    assert (by_hand.json()["kind"], by_hand.json()["outcome"]) == ("manual", "completed")
    dry = (await http.post(f"{RULES}/barn/c/dry-run", json={})).json()
    assert (dry["readings"], dry["outcomes"]) == (1, {"completed": 1})
    assert (await http.delete(f"{RULES}/barn/c")).status_code == 204
    assert (await http.get(f"{RULES}/barn/c")).status_code == 404


async def test_pages_hold_every_chain_and_every_run_once(hub: RuleHub) -> None:
    http = hub.http("platform")
    for number in range(5):
        await made(http, id=f"c{number}", name=f"Chain {number}")
    for degrees in range(31, 36):
        await hub.send(temperature=degrees)
    assert await paged(http, RULES, "id") == [f"c{number}" for number in range(5)]
    triggers = await paged(http, f"{RULES}/barn/c0/executions", "trigger")
    assert len(triggers) == len(set(triggers)) == 5
    found = (await http.get(RULES, params={"search": "CHAIN 3"})).json()["items"]
    assert [each["id"] for each in found] == ["c3"]


async def paged(http: httpx.AsyncClient, path: str, field: str) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(path, params=params)).json()
        found += [each[field] for each in page["items"]]
        cursor = page["next_cursor"]
    return found


async def test_a_mistake_is_named_by_its_field(hub: RuleHub) -> None:
    http = hub.http("platform")
    bad = chain()
    bad["nodes"][0]["config"]["operator"] = "~"
    answer = await http.post(RULES, json=bad)
    assert answer.status_code == 422
    assert "nodes.0.config.operator" in answer.text
    assert (await http.post(RULES, json=chain(app="nowhere"))).status_code == 422
    assert (await http.post(RULES, json=chain(id="a/b"))).status_code == 422
    await made(http)
    assert (await http.post(RULES, json=chain())).status_code == 409


async def test_the_deepest_filter_is_stored_and_shown_and_a_deeper_one_refused(
    hub: RuleHub,
) -> None:
    http = hub.http("platform")

    def nested(depth: int) -> list[dict[str, Any]]:
        config: dict[str, Any] = leaf()
        for _ in range(depth):
            config = {"type": "AND", "expressions": [config, leaf(key="other")]}
        return [{"id": "f", "type": "filter", "config": config}]

    first = await made(http, nodes=nested(100))
    assert (await http.get(f"{RULES}/barn/c")).json() == first
    assert (await http.get(RULES)).status_code == 200
    for depth in (101, 240):
        assert (await http.post(RULES, json=chain(nodes=nested(depth)))).status_code == 422
    deep = [{"id": "a", "type": "action", "config": {"type": "WEBHOOK", "webhook": {}}}]
    body: Any = 1
    for _ in range(300):
        body = [body]
    deep[0]["config"]["webhook"] = {"url": "https://x.example", "body": body}  # type: ignore[index]
    assert (await http.post(RULES, json=chain(nodes=deep))).status_code == 422


async def test_the_headers_of_a_webhook_are_shown_to_those_who_may_change_it(
    hub: RuleHub,
) -> None:
    http = hub.http("platform")
    webhook = {"url": "https://x.example/", "headers": {"Authorization": "Bearer secret"}}
    node = {"id": "a", "type": "action", "config": {"type": "WEBHOOK", "webhook": webhook}}
    await made(http, nodes=[node])
    await http.post(
        "/api/v1/accounts",
        json={
            "email": "v@x.example",
            "username": "viewer",
            "password": "correct horse battery",
            "role": "viewer",
        },
    )
    login = await http.post(
        "/api/v1/auth/login",
        json={"username": "viewer", "password": "correct horse battery"},
    )
    viewer = hub.http("platform", token=login.json()["access_token"])
    for path in (f"{RULES}/barn/c", RULES):
        assert "secret" in (await http.get(path)).text
        seen = await viewer.get(path)
        assert seen.status_code == 200
        assert "secret" not in seen.text


async def test_a_post_repeated_with_its_key_makes_one_chain(hub: RuleHub) -> None:
    http = hub.http("platform")
    body = chain()
    del body["id"]
    answers = [
        await http.post(RULES, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len((await http.get(RULES)).json()["items"]) == 1
