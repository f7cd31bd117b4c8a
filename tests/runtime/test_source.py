"""Where devices are told to connect, and what is asked of an external broker."""

from pathlib import Path

import pytest

from fleetwire.errors import SettingsError
from fleetwire.net.external.plan import SourcePlan
from fleetwire.runtime.limits import connection_limits
from fleetwire.runtime.source import (
    SourceServer,
    host_of_devices,
    ports_of_devices,
    server_of,
    source_plans,
)
from fleetwire.settings import Settings, load


def settings_of(folder: Path, **environ: str) -> Settings:
    return load(environ=environ, cwd=folder)


def test_without_a_url_there_is_no_plan_and_ports_are_ours(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert source_plans(settings, ["a/#"]) == ()
    assert ports_of_devices(settings, lambda: {"mqtt": 7})() == {"mqtt": 7}
    assert host_of_devices(settings) is None


def test_the_plan_has_the_topics_of_the_apps_and_those_asked_for(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, MQTT_BROKER_URL="wss://me:it@hub/x", MQTT_BROKER_TOPICS="c/+,a/b"
    )
    (plan,) = source_plans(settings, ["a/#", "b/+"])
    assert isinstance(plan, SourcePlan)
    assert plan.url == "wss://me:********@hub:443/x"
    assert plan.share == "fleetwire"
    assert [rule.filter for rule in plan.topics if rule.comes_in] == ["a/#", "b/+", "c/+"]
    assert [rule.filter for rule in plan.topics if rule.goes_out] == ["#"]


def test_a_topic_that_brings_messages_twice_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MQTT_BROKER_URL="mqtt://hub", MQTT_BROKER_TOPICS="+/x/#,d/e")
    with pytest.raises(SettingsError, match=r"'\+/x/#' and 'devices/\+/data'"):
        source_plans(settings, ["devices/+/data"])


@pytest.mark.parametrize(
    ("environ", "host", "ports"),
    [
        ({"MQTT_BROKER_URL": "mqtts://hub"}, "hub", {"mqtts": 8883}),
        ({"MQTT_BROKER_URL": "ws://localhost:9001"}, None, {"mqtt_ws": 9001}),
        (
            {"MQTT_BROKER_URL": "mqtt://hub", "FLEETWIRE_PROVISIONING_MQTT_HOST": "mqtt.example"},
            "mqtt.example",
            {"mqtt": 1883},
        ),
    ],
)
def test_devices_are_told_of_the_external_broker(
    tmp_path: Path, environ: dict[str, str], host: str | None, ports: dict[str, int]
) -> None:
    settings = settings_of(tmp_path, **environ)
    assert host_of_devices(settings) == host
    assert ports_of_devices(settings, lambda: {"mqtt": 7})() == ports


def test_which_server_is_made(tmp_path: Path) -> None:
    kinds = []
    for environ in ({}, {"MQTT_BROKER_URL": "mqtt://hub"}):
        settings = settings_of(tmp_path, **environ)
        server = server_of(settings, None, None, connection_limits(settings))
        kinds.append(type(server) is SourceServer)
    assert kinds == [False, True]
