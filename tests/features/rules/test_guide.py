"""What docs/rules.md shows is what can be sent, and its table names every operator."""

import re
from pathlib import Path

import msgspec

from fleetwire.features.rules.operators import OPERATORS
from tests.features.rules.house import RuleHub

GUIDE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()


async def test_the_chain_of_the_guide_is_accepted(hub: RuleHub) -> None:
    shown = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert shown
    for text in shown:
        body = msgspec.json.decode(text) | {"app": "barn"}
        answer = await hub.http("platform").post("/api/v1/rules", json=body)
        assert answer.status_code == 201, answer.text


def test_the_guide_tells_every_operator() -> None:
    cells = re.findall(r"^\| ((?:`[^`]+` ?)+)\|", GUIDE, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert set(OPERATORS) - told == set()
