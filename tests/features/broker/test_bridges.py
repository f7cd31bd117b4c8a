"""Who sees the bridges."""

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.errors import DomainError
from fleetwire.features.broker.bridges import BridgesService
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.plan import BridgePlan, TopicRule
from tests.fakes import caller


def service() -> BridgesService:
    plan = BridgePlan("hub", "mqtt", "h", 1883, topics=(TopicRule("t"),))
    return BridgesService(Bridges((plan,), Broker(Limits()), "id"))


def test_they_belong_to_nobody_so_owners_and_administrators_see_them() -> None:
    assert [each.name for each in service().list(caller(role="administrator"))] == ["hub"]
    assert service().list(caller(role="viewer")) == []


def test_they_need_the_permission_to_look_into_the_broker() -> None:
    with pytest.raises(DomainError):
        service().list(caller(permissions=frozenset()))
