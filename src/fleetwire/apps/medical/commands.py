"""The bytes of a command as the devices read it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fleetwire.kit import InvalidValueError


def command_payload(name: str, parameters: Mapping[str, Any]) -> bytes:
    """Return the flat form `{"command": name, **parameters}`.

    Raises InvalidValueError if a parameter would replace the command's name.
    """
    if "command" in parameters:
        raise InvalidValueError(
            "A parameter cannot be called 'command': the device reads the command's name there",
            field="parameters.command",
        )
    return msgspec.json.encode({"command": name, **parameters})
