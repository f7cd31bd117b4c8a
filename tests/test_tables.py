"""A room's tables are its own: nobody else imports them, and pyproject.toml says so of each."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_room_with_tables_has_a_contract_that_keeps_them() -> None:
    source = ROOT / "src"
    rooms = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for folder in ("features", "web", "store")
        for path in (source / "fleetwire" / folder).rglob("tables.py")
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    kept = {
        module
        for contract in contracts
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
    }
    assert rooms - kept == set(), "these need a contract as the other rooms have it"
