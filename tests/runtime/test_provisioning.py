"""What of the settings about devices can only be judged once the apps are known."""

from pathlib import Path

import pytest

from fleetwire.errors import SettingsError
from fleetwire.runtime.house import House
from fleetwire.settings import load


def test_an_app_that_does_not_run_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    ports = dict.fromkeys(("http_port", "mqtt_port", "mqtt_ws_port"), 0)
    environ = {"FLEETWIRE_UNKNOWN_DEVICES": "medcal=enrol", "FLEETWIRE_APPS": "medical"}
    settings = load(ports, environ, tmp_path)
    with pytest.raises(
        SettingsError, match=r"unknown_devices \(environment\) names the app 'medcal'.*medical does"
    ):
        House(settings)
