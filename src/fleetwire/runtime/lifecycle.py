"""serve: from settings to a running house, and to its orderly end."""

import asyncio
import contextlib
import cProfile
import ctypes
import fcntl
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import IO

import structlog

from fleetwire.errors import SettingsError
from fleetwire.runtime import logs
from fleetwire.runtime.house import House
from fleetwire.runtime.welcome import welcome
from fleetwire.settings import Settings

log = structlog.get_logger("fleetwire")

# Messages live for one batch. With the interpreter's default of 700 new objects the collector looks
# at every batch several times and finds nothing; measured, that was half of the time on the road.
GC_THRESHOLD = (100_000, 20, 100)
# The writer's thread and the event loop hand the interpreter to each other; the default of 5 ms
# would be the latency of every commit under load.
SWITCH_INTERVAL_S = 0.0005
# Blocks from this size on are given back to the kernel when they are freed. Left to itself glibc
# raises this bound to the largest block it has seen freed, and then keeps the 19 MiB of one argon2
# hash for ever.
GIVEN_BACK_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # malloc.h


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit status.

    Raises SettingsError for what a person must change before it can start.
    """
    logs.configure(settings.log_level, settings.log_format)
    with DataFolder(settings.data_dir):
        return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _give_back_memory()
    house = House(settings)
    try:
        await house.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        welcome(settings, house)
        if house.certificate is not None:
            loop.add_signal_handler(signal.SIGHUP, house.certificate.reload)
        if settings.ready_file is not None:
            _write_ready(settings.ready_file, house)
        profile = cProfile.Profile() if settings.profile is not None else None
        if profile is not None:
            profile.enable()
        failed = asyncio.create_task(house.failed())
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
        if profile is not None and settings.profile is not None:
            profile.disable()
            profile.dump_stats(settings.profile)
        stopped.cancel()
        failed.cancel()
        if failed.done() and not failed.cancelled():
            log.error("a part of the house has failed; stopping", error=failed.result())
            return 1
        log.info("stopping: finishing what was begun")
        return 0
    finally:
        await house.stop()
        log.info("stopped")


def _give_back_memory() -> None:
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, GIVEN_BACK_BYTES)


def _write_ready(path: Path, house: House) -> None:
    administrator = house.administrator
    text = json.dumps(
        {
            "pid": os.getpid(),
            "http": house.ports["platform"],
            "mqtt": house.ports.get("mqtt", 0),  # 0 = devices are at another broker
            "mqtt_ws": house.ports.get("mqtt_ws", 0),
            "mqtts": house.ports.get("mqtts"),
            "mqtt_wss": house.ports.get("mqtt_wss"),
            "apps": {app.name: house.ports[app.name] for app in house.apps if app.listener},
            "admin": None
            if administrator is None
            else {"username": administrator[0], "password": administrator[1]},
        }
    )
    # Whoever waits for the file must never read half of it; it may hold the first password.
    descriptor = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as part:
        part.write(text)
    os.replace(f"{path}.part", path)


class DataFolder:
    """Holds the data folder: two processes on one database would each think they are alone."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        path = self._data_dir / "fleetwire.lock"
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a")
        except OSError as error:
            raise SettingsError(
                f"The data folder {self._data_dir} cannot be written ({error.strerror}). "
                "Choose another one with --data-dir or FLEETWIRE_DATA_DIR."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SettingsError(
                f"Another Fleetwire is running on the data folder {self._data_dir}. "
                "Stop it, or choose another folder with --data-dir."
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
