"""Said: what a message about values says, in one form for every protocol and every dialect.

One value: `{"value": 23.5, "variableName": "temperature", "recievedAt": …}`, or the bare number or
text. Many: `{"dataStreams": [{…}, …]}`, or the bare list.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fleetwire.kit import InvalidValueError, NotAcceptedError
from fleetwire.kit.instants import parse

MOST_VALUES: Final = 1000
MOST_TEXT: Final = 4096  # characters of a value that is text
MOST_NAME: Final = 128
MOST_KEY: Final = 2**63 - 1
TIMES: Final = ("recievedAt", "receivedAt", "timestamp")

Value = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Said:
    """One value. `at` is in microseconds UTC; `path` leads to it in the message, "" = the top."""

    value: Value
    telemetry_id: int | None
    variable: str | None
    at: int
    urgent: bool
    low: float | None
    high: float | None
    path: str

    @property
    def number(self) -> float | None:
        """The value as a number, where it is one, also as text; None = it is none."""
        return number_of(self.value)

    @property
    def is_outside(self) -> bool:
        """Whether the value is outside its thresholds."""
        number = self.number
        if number is None:
            return False
        return (self.low is not None and number < self.low) or (
            self.high is not None and number > self.high
        )


def read(payload: bytes, received_at: int) -> list[Said]:
    """Return the values of a message. Raises NotAcceptedError naming the field at fault."""
    body = _body_of(payload)
    if isinstance(body, list):
        body = {"dataStreams": body}
    if not isinstance(body, dict):
        body = {"value": body}
    if "dataStreams" not in body:
        return [_one(body, received_at, "")]
    items = body["dataStreams"]
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_VALUES:
        raise NotAcceptedError(
            f"dataStreams must be a list of 1 to {MOST_VALUES} values", field="dataStreams"
        )
    return [_item(item, received_at, f"dataStreams.{index}") for index, item in enumerate(items)]


def number_of(value: object) -> float | None:
    """Return a value as a number; a truth value, and text that is no number, are none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or len(value) > 40 or "_" in value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _body_of(payload: bytes) -> Any:
    try:
        return msgspec.json.decode(payload)
    except RecursionError:
        raise NotAcceptedError("The payload is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError:
            raise NotAcceptedError("The payload is not text") from None
        # Bare text is a value; what begins like an object was meant to be one.
        if not text or text[0] in '{["':
            raise NotAcceptedError(f"The payload is not JSON: {error}") from None
        return text


def _item(item: object, received_at: int, path: str) -> Said:
    if not isinstance(item, dict):
        raise NotAcceptedError(f"{path} must be an object with a value", field=path)
    return _one(item, received_at, path)


def _one(body: dict[str, Any], received_at: int, path: str) -> Said:
    value = body.get("value")
    if value is None:
        raise _wrong(path, "value", "is missing")
    if not isinstance(value, str | int | float):
        raise _wrong(path, "value", "must be text, a number or a truth value")
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise _wrong(path, "value", f"must not have more than {MOST_TEXT} characters")
        # A lone surrogate is no text that a database takes, and U+0000 none that PostgreSQL does.
        value = value.encode(errors="replace").decode().replace("\0", "")
    elif abs(value) > 1e308:
        raise _wrong(path, "value", "must be between -1e308 and 1e308")
    low, high = _thresholds(body, path)
    return Said(
        value=value,
        telemetry_id=_key(body, path),
        variable=_variable(body, path),
        at=_instant(body, received_at, path),
        urgent=_truth(body, "urgent", path),
        low=low,
        high=high,
        path=path,
    )


def _key(body: dict[str, Any], path: str) -> int | None:
    key = body.get("telemetryDataId")
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 20:
        key = int(key)
    if key is None:
        return None
    if isinstance(key, bool) or not isinstance(key, int) or not 0 < key <= MOST_KEY:
        raise _wrong(path, "telemetryDataId", "must be the number of a variable")
    return key


def _variable(body: dict[str, Any], path: str) -> str | None:
    name = body.get("variableName")
    if name is None:
        return None
    if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME or not name.isprintable():
        raise _wrong(path, "variableName", f"must be text of 1 to {MOST_NAME} characters")
    return name


def _instant(body: dict[str, Any], received_at: int, path: str) -> int:
    for name in TIMES:
        if body.get(name) is not None:
            try:
                return parse(body[name], _place(path, name))
            except InvalidValueError as error:
                raise NotAcceptedError(error.message, field=error.field) from None
    return received_at


def _truth(body: dict[str, Any], name: str, path: str) -> bool:
    value = body.get(name)
    known = {"true": True, "1": True, "false": False, "0": False, "none": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise _wrong(path, name, "must be true or false")
    return found


def _thresholds(body: dict[str, Any], path: str) -> tuple[float | None, float | None]:
    found = body.get("thresholds")
    if found is None:
        return None, None
    if not isinstance(found, dict):
        raise _wrong(path, "thresholds", "must be an object with min and max")
    bounds: list[float | None] = []
    for name in ("min", "max"):
        bound = found.get(name)
        number = number_of(bound)
        if bound is not None and number is None:
            raise _wrong(path, f"thresholds.{name}", "must be a number")
        bounds.append(number)
    return bounds[0], bounds[1]


def _place(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(path: str, name: str, what: str) -> NotAcceptedError:
    place = _place(path, name)
    return NotAcceptedError(f"{place} {what}", field=place)
