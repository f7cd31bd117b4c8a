"""What the devices' messages mean, one promise of the field at a time."""

from typing import Any

import msgspec
import pytest

from fleetwire.apps.medical.handlers import MAX_VALUES, receive_data, report_status
from fleetwire.kit import Alarm, Device, DomainError, Effect, Event, Raw, Reading, Report
from fleetwire.kit.instants import iso

AT = "2026-01-31T12:00:00.250Z"


def device(type: str = "blood_pressure_monitor") -> Device:
    return Device(7, "medical", "bp-1", 1, type, {"patient_id": "P-1"})


def receive(body: dict[str, Any], type: str = "blood_pressure_monitor") -> list[Effect]:
    return receive_data("bp-1", device(type), Raw(msgspec.json.encode(body)))


def readings(effects: list[Effect]) -> dict[str, tuple[Any, str]]:
    return {each.metric: (each.value, each.unit) for each in effects if isinstance(each, Reading)}


def alarms(effects: list[Effect]) -> list[Alarm]:
    return [each for each in effects if isinstance(each, Alarm)]


def refusal(body: dict[str, Any], type: str = "blood_pressure_monitor") -> DomainError:
    with pytest.raises(DomainError) as caught:
        receive(body, type)
    return caught.value


def test_one_value_is_one_reading_under_its_metric_type() -> None:
    body = {
        "device_id": "bp-1",
        "metric_type": "glucose",
        "timestamp": AT,
        "value": 95,
        "unit": "mg/dL",
    }
    [reading] = receive(body, "glucose_meter")

    assert isinstance(reading, Reading)
    assert (reading.metric, reading.value, reading.unit) == ("glucose", 95, "mg/dL")
    assert reading.at is not None
    assert iso(reading.at) == AT
    assert not reading.flagged


def test_several_named_values_are_one_reading_each_with_its_own_unit() -> None:
    body = {"metric_type": "blood_pressure", "systolic": 120, "diastolic": 80, "heart_rate": 72}
    assert readings(receive(body)) == {
        "blood_pressure.systolic": (120, "mmHg"),
        "blood_pressure.diastolic": (80, "mmHg"),
        "blood_pressure.heart_rate": (72, "/min"),
    }


def test_a_shared_unit_is_not_given_to_a_value_that_cannot_have_it() -> None:
    body = {"metric_type": "blood_pressure", "systolic": 120, "heart_rate": 72, "unit": "mmHg"}
    assert readings(receive(body)) == {
        "blood_pressure.systolic": (120, "mmHg"),
        "blood_pressure.heart_rate": (72, "/min"),
    }


def test_units_by_name_win_over_the_table() -> None:
    body = {"metric_type": "bp", "heart_rate": 72, "other": 1, "units": {"heart_rate": "bpm"}}
    assert readings(receive(body)) == {"bp.heart_rate": (72, "bpm"), "bp.other": (1, "")}


@pytest.mark.parametrize("value", [0, 0.0, False, "", -1.5, "HI", [1, 2], {"a": 1}])
def test_whatever_is_sent_as_value_is_a_value(value: Any) -> None:
    effects = receive({"metric_type": "free", "value": value}, "somebody_else")
    assert readings(effects) == {"free": (value, "")}
    assert alarms(effects) == []


@pytest.mark.parametrize("value", [0, False, ""])
def test_named_values_that_look_empty_are_values(value: Any) -> None:
    effects = receive({"metric_type": "free", "one": value}, "somebody_else")
    assert readings(effects) == {"free.one": (value, "")}


@pytest.mark.parametrize(("sent", "value"), [("72", 72.0), (" 72.5 ", 72.5), ("7_2", "7_2")])
def test_a_number_sent_as_text_is_a_number_where_the_metric_is_one(sent: str, value: Any) -> None:
    body = {"metric_type": "ecg", "heart_rate": sent}
    assert readings(receive(body, "ecg_monitor")) == {"ecg.heart_rate": (value, "/min")}


@pytest.mark.parametrize("sent", ["HI", "LO", "nan", "inf", "1e999"])
def test_text_that_is_no_number_stays_text(sent: str) -> None:
    effects = receive({"metric_type": "glucose", "value": sent}, "glucose_meter")
    assert readings(effects) == {"glucose": (sent, "mg/dL")}


def test_text_of_an_unknown_metric_stays_text() -> None:
    assert readings(receive({"metric_type": "code", "value": "0042"})) == {"code": ("0042", "")}


def test_a_value_out_of_its_range_is_kept_flagged_and_alarms() -> None:
    effects = receive({"metric_type": "blood_pressure", "systolic": 400, "diastolic": 80})
    flags = {each.metric: each.flagged for each in effects if isinstance(each, Reading)}
    assert flags == {"blood_pressure.systolic": True, "blood_pressure.diastolic": False}
    (alarm,) = alarms(effects)
    assert alarm.name == "out_of_range"
    assert alarm.detail["metric"] == "blood_pressure.systolic"
    assert alarm.detail["value"] == 400
    assert (alarm.detail["low"], alarm.detail["high"]) == (50.0, 280.0)


@pytest.mark.parametrize(
    ("type", "metric", "value", "unit", "flagged"),
    [
        ("glucose_meter", "glucose", 5.5, "mmol/L", False),
        ("glucose_meter", "glucose", 5.5, "mg/dL", True),
        ("glucose_meter", "glucose", 95, "mmol/L", True),
        ("temperature_sensor", "temperature", 36.6, "Cel", False),
        ("temperature_sensor", "temperature", 98.6, "°F", False),
        ("temperature_sensor", "temperature", 98.6, "°C", True),
        ("weight_scale", "weight", 80, "kg", False),
        ("weight_scale", "weight", 900, "kg", True),
        ("weight_scale", "weight", 900, "stone", False),
        ("pulse_oximeter", "SpO2", 97, "%", False),
        ("pulse_oximeter", "spo2", 101, "%", True),
        ("pulse_oximeter", "pulse", 60, "bpm", False),
        ("ecg_monitor", "heart_rate", 301, "/min", True),
        ("wearable", "heart_rate", 301, "/min", False),
    ],
)
def test_a_range_is_that_of_the_unit(
    type: str, metric: str, value: float, unit: str, flagged: bool
) -> None:
    effects = receive({"metric_type": metric, "value": value, "unit": unit}, type)
    assert isinstance(effects[0], Reading)
    assert effects[0].flagged is flagged
    assert effects[0].unit == unit
    assert len(alarms(effects)) == flagged


@pytest.mark.parametrize(
    ("type", "metric", "unit"),
    [
        ("blood_pressure_monitor", "systolic", "mmHg"),
        ("blood_pressure_monitor", "diastolic", "mmHg"),
        ("blood_pressure_monitor", "heart_rate", "/min"),
        ("glucose_meter", "glucose", "mg/dL"),
        ("pulse_oximeter", "SpO2", "%"),
        ("pulse_oximeter", "pulse", "/min"),
        ("ecg_monitor", "heart_rate", "/min"),
        ("weight_scale", "weight", "kg"),
        ("temperature_sensor", "temperature", "Cel"),
    ],
)
def test_the_table_gives_the_unit_that_was_not_sent(type: str, metric: str, unit: str) -> None:
    effects = receive({"metric_type": metric, "value": 60}, type)
    assert isinstance(effects[0], Reading)
    assert effects[0].unit == unit


def test_an_ecg_block_is_one_reading_with_its_sample_rate() -> None:
    body = {"metric_type": "ecg", "sample_rate": 250, "samples": [0.1, 0, -0.2], "heart_rate": 61}
    assert readings(receive(body, "ecg_monitor")) == {
        "ecg": ({"sample_rate": 250, "samples": [0.1, 0, -0.2]}, ""),
        "ecg.heart_rate": (61, "/min"),
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": None}, "sample_rate"),
        ({"sample_rate": True}, "sample_rate"),
        ({"samples": "abc"}, "samples"),
        ({"samples": [1, "2"]}, "samples"),
        ({"samples": [1, None]}, "samples"),
    ],
)
def test_a_waveform_that_is_none_is_refused(change: dict[str, Any], field: str) -> None:
    body = {"metric_type": "ecg", "sample_rate": 250, "samples": [1], **change}
    assert refusal(body, "ecg_monitor").field == field


def test_what_describes_a_message_is_no_value() -> None:
    body = {
        "device_id": "bp-1",
        "metric_type": "bp",
        "timestamp": AT,
        "type": "x",
        "unit": "mmHg",
        "place": {"ward": 3},
        "nothing": None,
        "systolic": 120,
    }
    assert readings(receive(body)) == {"bp.systolic": (120, "mmHg")}


@pytest.mark.parametrize("sent", [1769860800, 1769860800000, "1769860800", "2026-01-31T12:00:00Z"])
def test_time_is_understood_as_iso_or_epoch(sent: Any) -> None:
    effects = receive({"metric_type": "free", "value": 1, "timestamp": sent})
    assert isinstance(effects[0], Reading)
    assert effects[0].at == 1_769_860_800_000_000


@pytest.mark.parametrize("body", [{}, {"timestamp": None}])
def test_without_a_time_the_instant_of_receipt_counts(body: dict[str, Any]) -> None:
    effects = receive({"metric_type": "free", "value": 1, **body})
    assert isinstance(effects[0], Reading)
    assert effects[0].at is None


@pytest.mark.parametrize("sent", ["", "yesterday", True, [], -5, 1e30])
def test_a_time_that_is_none_is_refused(sent: Any) -> None:
    assert refusal({"metric_type": "free", "value": 1, "timestamp": sent}).field == "timestamp"


def test_a_message_of_another_device_is_refused() -> None:
    assert refusal({"device_id": "bp-2", "metric_type": "x", "value": 1}).field == "device_id"


@pytest.mark.parametrize("named", [None, "17", 17])
def test_the_device_may_leave_its_id_out_or_send_it_as_a_number(named: Any) -> None:
    scale = Device(7, "medical", "17", 1, "weight_scale", {})
    body = msgspec.json.encode({"device_id": named, "metric_type": "weight", "value": 80})
    effects = receive_data("17", scale, Raw(body))
    assert readings(effects) == {"weight": (80, "kg")}


@pytest.mark.parametrize("metric_type", [None, "", 5, "a\0b", "a\nb", "x" * 129, ["a"]])
def test_a_metric_needs_a_printable_name(metric_type: Any) -> None:
    assert refusal({"metric_type": metric_type, "value": 1}).field == "metric_type"


def test_a_missing_metric_type_is_named() -> None:
    error = refusal({"value": 1})
    assert error.field == "metric_type"
    assert "missing" in error.message


def test_the_whole_name_of_a_named_value_is_bounded() -> None:
    assert refusal({"metric_type": "x" * 100, "y" * 28: 1}).field == "metric_type"
    assert len(receive({"metric_type": "x" * 100, "y" * 27: 1})) == 1


@pytest.mark.parametrize("unit", [5, "x" * 33, "a\0", ["kg"]])
def test_a_unit_is_short_printable_text(unit: Any) -> None:
    assert refusal({"metric_type": "free", "value": 1, "unit": unit}).field == "unit"
    assert refusal({"metric_type": "free", "one": 1, "unit": unit}).field == "unit"
    assert refusal({"metric_type": "f", "one": 1, "units": {"one": unit}}).field == "units.one"


def test_units_must_be_an_object() -> None:
    assert refusal({"metric_type": "free", "one": 1, "units": "kg"}).field == "units"


@pytest.mark.parametrize("body", [{}, {"value": None}, {"place": {}}, {"unit": "kg"}])
def test_a_message_without_a_value_is_refused(body: dict[str, Any]) -> None:
    assert refusal({"metric_type": "free", **body}).field == "value"


def test_a_message_has_a_bounded_number_of_values() -> None:
    values = {f"v{number}": number for number in range(MAX_VALUES)}
    assert len(readings(receive({"metric_type": "many", **values}))) == MAX_VALUES
    assert "at most" in refusal({"metric_type": "many", **values, "more": 1}).message


@pytest.mark.parametrize("number", [b"1" + b"0" * 400, b"-1" + b"0" * 400])
def test_a_number_too_large_for_any_column_is_refused(number: bytes) -> None:
    for type in ("weight_scale", "somebody_else"):
        body = msgspec.json.decode(b'{"metric_type": "weight", "value": %s}' % number)
        assert refusal(body, type).field == "value"


@pytest.mark.parametrize(
    "body",
    [
        b'{"metric_type":"free","value":NaN}',
        b'{"metric_type":"free","value":Infinity}',
        b'{"metric_type":"free","value":1e999}',
        b'{"metric_type":"free","value":1,"place":1e999}',  # also where nobody looks
        b'{"metric_type":"free","value":1,"place":"\xff"}',  # also where nobody looks
        b'{"metric_type":"free","value":1,"\xff":1}',
        b'{"metric_type":"free","value":1,"place":"\x01"}',
        b'{"metric_type":"free","value":1,"place":01}',
        b'{"metric_type":"free","value":1}}',
        b'["metric_type","free","value",1]',
    ],
)
def test_what_is_no_json_object_is_never_a_reading(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        receive_data("bp-1", device(), Raw(body))


# --- status ---


def status(body: dict[str, Any]) -> Report:
    report, event = report_status("bp-1", device(), body)
    assert isinstance(event, Event)
    assert (event.name, event.body) == ("device.status", body)
    assert isinstance(report, Report)
    return report


def test_a_status_is_reported_with_its_fields() -> None:
    report = status(
        {"device_id": "bp-1", "status": "online", "battery": 85, "signal_strength": -45}
    )
    assert report.status == "online"
    assert report.fields == {"battery": 85, "signal_strength": -45}


def test_a_partial_status_says_nothing_of_the_rest() -> None:
    report = status({"battery": "84", "signal_strength": None, "status": None})
    assert report.status is None
    assert report.fields == {"battery": 84.0}


def test_zero_and_false_are_said() -> None:
    assert status({"battery": 0, "charging": False, "note": ""}).fields == {
        "battery": 0,
        "charging": False,
        "note": "",
    }


@pytest.mark.parametrize("said", ["", 5, "x" * 33, "a\0", True])
def test_a_status_is_short_printable_text(said: Any) -> None:
    with pytest.raises(DomainError) as caught:
        report_status("bp-1", device(), {"status": said})
    assert caught.value.field == "status"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": None},
        {"device_id": "bp-1"},
        {"device_id": "bp-2", "status": "online"},
        {f"f{number}": 1 for number in range(MAX_VALUES + 1)},
        {"a\0b": 1},
    ],
)
def test_a_status_that_says_nothing_or_too_much_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        report_status("bp-1", device(), body)
