"""What every test can ask for, and the rule that a test is not skipped unseen."""

import os
import shutil
import socket
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.house import House

NODE_PACKAGES = Path(__file__).parent / "node" / "node_modules" / "mqtt"
NEEDS = {
    "needs_cc": ("cc", "make"),
    "needs_chromium": ("chromium",),
    "needs_mosquitto": ("mosquitto", "mosquitto_pub", "mosquitto_sub"),
    "needs_node": ("node",),
}


# Folders whose tests start many servers, or other people's programs: not for every few minutes.
LONGER = frozenset({"bench", "docs", "interop", "kill", "road", "runtime"})

skips_forbidden = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    # A worker comes later than the line that forgets this variable with all others.
    node.workerinput["skips_forbidden"] = node.config.stash[skips_forbidden]


def pytest_configure(config: pytest.Config) -> None:
    from_above = getattr(config, "workerinput", {})
    config.stash[skips_forbidden] = from_above.get(
        "skips_forbidden", os.environ.get("FLEETWIRE_FORBID_SKIPS") == "1"
    )
    # The settings of whoever runs the tests are not the settings of the servers under test.
    for name in list(os.environ):
        if name.startswith(("FLEETWIRE_", "MQTT_")) or name == "DATABASE_URL":
            del os.environ[name]
    # Debian keeps the broker where only root looks.
    os.environ["PATH"] = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in LONGER:
            item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, commands in NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        for command in commands:
            if shutil.which(command) is None:
                pytest.skip(f"{command} is not installed ({marker})")
        if marker == "needs_node" and not NODE_PACKAGES.exists():
            pytest.skip("the packages of tests/node are not installed: npm ci --prefix tests/node")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _forbid_skip(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(collector.config, report)
    return report


def _forbid_skip(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where none is allowed (FLEETWIRE_FORBID_SKIPS=1, as in CI)."""
    if report.skipped and config.stash[skips_forbidden]:
        report.outcome = "failed"
        report.longrepr = f"Skipping is forbidden here, but this was skipped: {report.longreprtext}"


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Undo what a command under test has set up: it would write to that test's closed streams."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A fresh Fleetwire of the test's own; it may be stopped, killed and started again."""
    house = House(tmp_path)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One Fleetwire for all tests of a file; they use names of their own and leave it running.

    A message of a device that nobody registered is quarantined.
    """
    variables = {"FLEETWIRE_UNKNOWN_DEVICES": "quarantine"}
    house = House(tmp_path_factory.mktemp("house"), environment=variables)
    try:
        house.start()
        yield house
    finally:
        house.close()
