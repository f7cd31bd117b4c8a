"""Whether the house is ready, asked by load balancers and Prometheus."""

from collections.abc import Sequence

from fleetwire.kit import Component, Health
from fleetwire.web.rest.health import health_router
from tests.web.conftest import Ask


class FakeHealth(Health):
    def __init__(self) -> None:
        self.connected = True
        self.database = "ok"

    def is_connected(self) -> bool:
        return self.connected

    async def components(self) -> Sequence[Component]:
        return [Component("database", self.database, 0.1, {"path": "/secret"})]

    def metrics(self) -> bytes:
        return b"fleetwire_up 1\n"


async def test_readiness_follows_the_house(ask: Ask) -> None:
    health = FakeHealth()
    async with ask(health_router(metrics_open=False), services={Health: health}) as http:
        ready = await http.get("/health")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert ready.json()["components"] == {"database": "ok"}
        assert "secret" not in ready.text
        health.database = "degraded"
        assert (await http.get("/health")).status_code == 200
        health.database = "down"
        assert (await http.get("/health")).status_code == 503
        health.database, health.connected = "ok", False
        assert (await http.get("/health")).json()["status"] == "unavailable"
        assert (await http.get("/health/liveness")).status_code == 200


async def test_metrics_are_open_only_where_that_is_wanted(ask: Ask) -> None:
    services = {Health: FakeHealth()}
    async with ask(health_router(metrics_open=True), services=services) as http:
        answer = await http.get("/metrics")
        assert answer.content == b"fleetwire_up 1\n"
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    async with ask(health_router(metrics_open=False), services=services) as http:
        assert (await http.get("/metrics")).status_code == 401
        signed_in = await http.get("/metrics", headers={"authorization": "Bearer good"})
        assert signed_in.status_code == 200


async def test_live_says_nothing_of_the_parts_and_ready_does(ask: Ask) -> None:
    health = FakeHealth()
    health.database = "down"
    async with ask(health_router(metrics_open=False), services={Health: health}) as http:
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.get("/health/ready")).status_code == 503


async def test_the_detail_is_for_those_who_are_signed_in(ask: Ask) -> None:
    async with ask(health_router(metrics_open=True), services={Health: FakeHealth()}) as http:
        assert (await http.get("/health/detail")).status_code == 401
        answer = await http.get("/health/detail", headers={"authorization": "Bearer good"})
        assert answer.json()["components"]["database"]["detail"] == {"path": "/secret"}
