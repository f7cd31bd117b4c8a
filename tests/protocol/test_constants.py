"""Names and translations of reason codes."""

from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import MalformedPacketError, PacketTooLargeError, ProtocolError


def test_every_reason_code_has_the_name_of_the_standard() -> None:
    assert c.reason_name(c.NOT_AUTHORIZED) == "Not authorized"
    assert c.reason_name(c.SUCCESS) == "Success"
    assert c.reason_name(0x7F) == "Reason code 0x7F"


def test_reason_codes_become_return_codes_of_311() -> None:
    assert c.return_code(c.SUCCESS) == 0
    assert c.return_code(c.UNSUPPORTED_PROTOCOL_VERSION) == 1
    assert c.return_code(c.CLIENT_IDENTIFIER_NOT_VALID) == 2
    assert c.return_code(c.SERVER_BUSY) == 3
    assert c.return_code(c.BAD_USER_NAME_OR_PASSWORD) == 4
    assert c.return_code(c.NOT_AUTHORIZED) == 5
    assert c.return_code(c.UNSPECIFIED_ERROR) == 3


def test_errors_carry_their_reason_code() -> None:
    assert ProtocolError("x").reason_code == 0x82
    assert MalformedPacketError("x").reason_code == 0x81
    assert PacketTooLargeError("x").reason_code == 0x95
