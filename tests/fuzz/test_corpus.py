"""Everything the fuzzer has ever found interesting is decoded as promised, and stays little."""

from pathlib import Path

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.packets import Packet
from tests.fuzz.corpus import FOLDER, LARGEST_BYTES, minimised, read, seeds, store
from tests.fuzz.target import BrokenPromiseError, check, seed

INPUTS = read(FOLDER)


def test_every_kept_input_is_decoded_as_promised() -> None:
    assert len(INPUTS) > 100
    for data in INPUTS:
        check(data)


def test_every_hand_written_packet_is_decoded_as_promised() -> None:
    for data in seeds():
        check(data)


def test_the_corpus_stays_small() -> None:
    assert len(INPUTS) < 500
    assert max(map(len, INPUTS)) <= LARGEST_BYTES
    assert sum(map(len, INPUTS)) < 300_000


class ForgetfulDecoder(Decoder):
    """Begins anew with every piece."""

    def feed(self, chunk: bytes) -> list[Packet]:
        self._held.clear()
        return super().feed(chunk)


def test_a_decoder_that_forgets_an_incomplete_packet_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(seed(c.V311, True, 2, b"\x40\x02\x00\x01"))
    monkeypatch.setattr("tests.fuzz.target.Decoder", ForgetfulDecoder)
    with pytest.raises(BrokenPromiseError):
        check(seed(c.V311, True, 2, b"\x40\x02\x00\x01"))


def test_only_inputs_that_reach_something_new_are_kept() -> None:
    ping = seed(c.V311, True, 32, b"\xc0\x00")
    pings = seed(c.V311, True, 32, b"\xc0\x00" * 20)
    kept = minimised([pings, ping, ping])
    assert ping in kept
    assert minimised([*kept, *kept]) == kept
    assert minimised([b"\0" * (LARGEST_BYTES + 1)]) == []


def test_a_stored_corpus_is_read_back_and_nothing_else(tmp_path: Path) -> None:
    store([b"a", b"b"], tmp_path)
    store([b"b", b"c"], tmp_path)
    assert sorted(read(tmp_path)) == [b"b", b"c"]
