"""What a device's answer to a command says, on its app's `response_topic`.

The command is named by the MQTT 5 Correlation Data that came with it, or by `command_id` in the
payload, which is a JSON object: `{"state": "succeeded", "reason": "...", "result": {...}}`. Without
`state`, or without a payload, it has succeeded. MQTT 5.0 §4.10.
"""

from typing import Any

import msgspec

from fleetwire.kit.device import Device
from fleetwire.kit.effects import Answer
from fleetwire.kit.message import Incoming, NotAcceptedError

STATES = ("accepted", "in_progress", "succeeded", "failed", "rejected")
MAX_ID_CHARS = 32


class _Said(msgspec.Struct):
    command_id: str = ""
    state: str = "succeeded"
    reason: str | None = None
    result: Any = None


_decode = msgspec.json.Decoder(_Said).decode


def answer_of(device: Device, message: Incoming) -> Answer:
    """Return the answer that a message is. Raises NotAcceptedError."""
    try:
        said = _decode(message.payload) if message.payload else _Said()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAcceptedError(f"The answer to a command does not fit: {error}") from None
    command_id = message.correlation_data.decode("ascii", "replace") or said.command_id
    if not command_id or len(command_id) > MAX_ID_CHARS:
        raise NotAcceptedError(
            "The answer names no command: send its Correlation Data, or command_id in the payload",
            field="command_id",
        )
    if said.state not in STATES:
        raise NotAcceptedError(
            f"state must be one of {', '.join(STATES)}, not {said.state[:40]!r}", field="state"
        )
    return Answer(
        device, command_id, said.state == "succeeded", said.reason, said.result, said.state
    )
