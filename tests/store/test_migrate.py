"""A database is brought to its form once, all of it or nothing, and an app keeps its own place."""

import importlib.resources
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from fleetwire.errors import SettingsError, StoreUnavailableError
from fleetwire.features.accounts import tables as _accounts  # noqa: F401
from fleetwire.features.alarms import tables as _alarms  # noqa: F401
from fleetwire.features.areas import tables as _areas  # noqa: F401
from fleetwire.features.audit import tables as _audit  # noqa: F401
from fleetwire.features.commands import tables as _commands  # noqa: F401
from fleetwire.features.devices import tables as _devices  # noqa: F401
from fleetwire.features.devicetypes import tables as _devicetypes  # noqa: F401
from fleetwire.features.jobs import tables as _jobs  # noqa: F401
from fleetwire.features.organizations import tables as _organizations  # noqa: F401
from fleetwire.features.provisioning import tables as _provisioning  # noqa: F401
from fleetwire.features.quarantine import tables as _quarantine  # noqa: F401
from fleetwire.features.rules import tables as _rules  # noqa: F401
from fleetwire.features.telemetry import tables as _telemetry  # noqa: F401
from fleetwire.store.database import Database
from fleetwire.store.journal import tables as _journal  # noqa: F401
from fleetwire.store.metadata import metadata
from fleetwire.store.migrate import migrate
from fleetwire.web import tables as _web  # noqa: F401

PLATFORM = [
    "0001_first", "0002_journal", "0003_identities", "0050_first_answers", "0040_audit_chain",
    "0030_commands", "0020_groups", "0010_people", "0061_types", "0062_provisioning",
    "0063_accounts", "0064_jobs", "0065_rules",
]  # fmt: skip


class Store:
    """A database file of the test's own, looked at from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def names(self, kind: str = "table") -> set[str]:
        return {
            row[0] for row in self._all(f"SELECT name FROM sqlite_master WHERE type = '{kind}'")
        }

    def statements(self) -> dict[str, list[str]]:
        """What each table or index was made with, one line for each part, in no order."""
        made = self._all("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {
            # A table that was renamed stands in quotation marks.
            name: sorted(line.strip().rstrip(",") for line in sql.replace('"', "").splitlines())
            for name, sql in made
            if not name.startswith(("alembic_version", "sqlite_"))
        }

    def version(self, table: str) -> list[str]:
        return [row[0] for row in self._all(f"SELECT version_num FROM {table}")]

    def _all(self, query: str) -> list[tuple[str, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "test.db")


class Revisions:
    """The revisions of an app of the test's own."""

    def __init__(self, folder: Path, app: str) -> None:
        folder.mkdir()
        self.app = app
        self.location = (app, folder)
        self._last: str | None = None

    def add(self, name: str, work: str, *, depends_on: str | None = None) -> None:
        """Add a revision after the last one; `work` is what its upgrade does."""
        label = (self.app,) if self._last is None else None
        (self.location[1] / f"{name}.py").write_text(
            "from alembic import op\n"
            f"revision = {name!r}\n"
            f"down_revision = {self._last!r}\n"
            f"branch_labels = {label!r}\n"
            f"depends_on = {depends_on!r}\n"
            f"def upgrade():\n    {work}\n"
        )
        self._last = name


def make(table: str) -> str:
    return f"op.execute('CREATE TABLE {table} (id INTEGER)')"


@pytest.fixture
def vending(tmp_path: Path) -> Revisions:
    """An app with one revision."""
    revisions = Revisions(tmp_path / "vending", "vending")
    revisions.add("vending_0001", make("slots"), depends_on="0001_first")
    return revisions


def medical() -> tuple[str, Path]:
    """Where the medical app has its revisions, without importing it."""
    return "medical", Path(
        str(importlib.resources.files("fleetwire") / "apps/medical/migrations/versions")
    )


def test_the_migrated_database_is_what_the_tables_say(store: Store, tmp_path: Path) -> None:
    migrate(store.url)
    engine = create_engine(store.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_not_even_a_constraint_or_its_name_differs(store: Store, tmp_path: Path) -> None:
    migrate(store.url)
    made = Store(tmp_path / "made.db")
    engine = create_engine(made.url)
    metadata.create_all(engine)
    engine.dispose()
    assert store.statements() == made.statements()


def test_a_second_start_has_nothing_to_do(store: Store) -> None:
    assert migrate(store.url, [medical()]) == [*PLATFORM, "medical_0001"]
    assert migrate(store.url, [medical()]) == []
    assert {"medical_devices", "device_readings"} <= store.names("view")


async def test_a_database_that_is_open_can_be_migrated(store: Store) -> None:
    database = Database(store.url)
    database.open()
    assert migrate(database) == PLATFORM
    assert await database.read(lambda c: c.exec_driver_sql("SELECT * FROM audit").all()) == []
    await database.close()


def test_an_app_that_comes_later_finds_its_place(store: Store, vending: Revisions) -> None:
    assert migrate(store.url, [medical()]) == [*PLATFORM, "medical_0001"]
    assert migrate(store.url, [medical(), vending.location]) == ["vending_0001"]
    assert "slots" in store.names()


def test_an_app_that_is_left_out_keeps_its_place(store: Store, vending: Revisions) -> None:
    migrate(store.url, [vending.location])
    assert migrate(store.url) == []
    assert migrate(store.url, [medical()]) == ["medical_0001"]
    vending.add("vending_0002", make("products"))
    assert migrate(store.url, [medical(), vending.location]) == ["vending_0002"]
    assert store.version("alembic_version") == PLATFORM[-1:]
    assert store.version("alembic_version_vending") == ["vending_0002"]


def test_a_later_revision_may_depend_on_the_platform_too(store: Store, vending: Revisions) -> None:
    migrate(store.url, [vending.location])
    vending.add("vending_0002", make("products"), depends_on="0001_first")
    vending.add("vending_0003", make("sales"))
    assert migrate(store.url, [vending.location]) == ["vending_0002", "vending_0003"]
    assert store.version("alembic_version_vending") == ["vending_0003"]


def test_an_upgrade_that_fails_leaves_nothing_behind(store: Store, vending: Revisions) -> None:
    vending.add("vending_0002", "op.execute('CREATE TABLE slots (id INTEGER)')")
    with pytest.raises(StoreUnavailableError, match="table slots already exists"):
        migrate(store.url, [vending.location])
    assert store.names() == set()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    store: Store, vending: Revisions, tmp_path: Path
) -> None:
    newer = Revisions(tmp_path / "newer", "vending")
    newer.add("vending_0001", make("slots"))
    newer.add("vending_0002", make("products"))
    migrate(store.url, [newer.location])
    with pytest.raises(SettingsError, match=r"'vending_0002' of vending.*version that made it"):
        migrate(store.url, [vending.location])
    assert store.version("alembic_version_vending") == ["vending_0002"]


def test_an_app_without_a_branch_of_its_name_is_refused(store: Store, tmp_path: Path) -> None:
    other = Revisions(tmp_path / "other", "other")
    other.add("other_0001", make("others"))
    with pytest.raises(SettingsError, match="migrations of vending"):
        migrate(store.url, [("vending", other.location[1])])


def test_an_app_whose_revisions_fork_is_refused(store: Store, vending: Revisions) -> None:
    vending.add("vending_0002", make("products"))
    second = vending.location[1] / "vending_0002.py"
    text = second.read_text().replace("'vending_0002'", "'vending_0003'")
    (vending.location[1] / "vending_0003.py").write_text(text)
    with pytest.raises(SettingsError, match=r"migrations of vending.*[Mm]ultiple head"):
        migrate(store.url, [vending.location])
    assert store.names() == set()


def test_a_database_that_cannot_be_opened_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        migrate(f"sqlite:///{tmp_path}/missing/test.db")


def test_two_at_once_do_it_once(store: Store, vending: Revisions) -> None:
    migrate(store.url)
    both = threading.Barrier(2)
    done: list[list[str]] = []

    def start() -> None:
        both.wait()
        done.append(migrate(store.url, [vending.location, medical()]))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, done)) == [0, 2]
