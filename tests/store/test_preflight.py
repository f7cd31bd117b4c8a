"""What a migration would do is told without doing it, and every schema that has landed goes up."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from fleetwire.errors import SettingsError
from fleetwire.store import preflight
from fleetwire.store.migrate import FOLDER, migrate
from fleetwire.store.preflight import check_migration

VERSIONS = FOLDER / "versions"


def platform_revisions() -> list[str]:
    """Every revision of the platform, oldest first."""
    script = ScriptDirectory(FOLDER, version_locations=[VERSIONS])
    return [each.revision for each in script.walk_revisions("base", "platform@head")][::-1]


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/fleetwire.db"


def make_at(folder: Path, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the database that this revision made, by the migrations themselves."""
    script = ScriptDirectory(FOLDER, version_locations=[VERSIONS])
    known = [each.revision for each in script.walk_revisions("base", revision)]
    versions = folder / "until" / "versions"
    versions.mkdir(parents=True)
    for name in known:
        path = Path(script.get_revision(name).path)
        (versions / path.name).write_text(path.read_text())
    with monkeypatch.context() as patch:
        patch.setattr("fleetwire.store.migrate.FOLDER", folder / "until")
        for file in FOLDER.iterdir():
            if file.is_file():
                (folder / "until" / file.name).write_bytes(file.read_bytes())
        assert migrate(url_of(folder)) == known[::-1]


def fill(path: Path) -> dict[str, int]:
    """Put a row into each table that there is, as far as it asks for nothing special."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        names = [row[0] for row in database.execute(query)]
        names = [name for name in names if not name.startswith(("alembic_", "sqlite_"))]
        counts = {}
        for name in names:
            columns = database.execute(f"PRAGMA table_info('{name}')").fetchall()
            values = [value_of(column[1], column[2]) for column in columns]
            marks = ",".join("?" * len(values))
            database.execute(f'INSERT INTO "{name}" VALUES ({marks})', values)
            counts[name] = 1
        return counts


def value_of(column: str, form: str) -> object:
    form = form.upper()
    if "BLOB" in form:
        return b"\x01" * 16
    if "JSON" in form:
        return "{}"
    if "INT" in form or "BOOL" in form:
        return 1
    if "FLOAT" in form or "REAL" in form or "NUMERIC" in form:
        return 1.5
    return "1"


@pytest.mark.parametrize("revision", platform_revisions())
def test_rows_of_every_schema_that_has_landed_come_along(
    revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_at(tmp_path, revision, monkeypatch)
    path = tmp_path / "fleetwire.db"
    before = fill(path)
    assert "organizations" in before
    newer = platform_revisions()[platform_revisions().index(revision) + 1 :]
    assert check_migration(url_of(tmp_path)).branches[0].missing == newer
    assert migrate(url_of(tmp_path)) == newer
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table, count in before.items():
            assert database.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (count,), table


def test_a_check_makes_no_database(tmp_path: Path) -> None:
    found = check_migration(url_of(tmp_path))
    assert found.is_needed
    assert found.has_room
    assert found.branches[0].reached is None
    assert found.branches[0].missing == platform_revisions()
    assert list(tmp_path.iterdir()) == []


def test_a_check_changes_no_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_at(tmp_path, "0001_first", monkeypatch)
    assert check_migration(url_of(tmp_path)).branches[0].reached == "0001_first"
    assert check_migration(url_of(tmp_path)).branches[0].reached == "0001_first"


def test_a_disk_that_is_too_full_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_at(tmp_path, "0001_first", monkeypatch)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage())
    assert not check_migration(url_of(tmp_path)).has_room
    migrate(url_of(tmp_path))
    assert check_migration(url_of(tmp_path)).has_room


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    migrate(url_of(tmp_path))
    with closing(sqlite3.connect(tmp_path / "fleetwire.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999_later'")
    with pytest.raises(SettingsError, match=r"'9999_later' of platform.*does not know"):
        check_migration(url_of(tmp_path))
