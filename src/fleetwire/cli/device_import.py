"""`fleetwire devices import`: a file of devices, sent in portions."""

import csv
import os
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from fleetwire.cli.console import note, printable, progress, say
from fleetwire.cli.device_file import portions, read
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.errors import FleetwireError

IMPORTS = "/api/v1/device-imports"
JOBS = "/api/v1/jobs"
PORTION = 100  # what the server takes at once
PATIENCE_S = 30.0  # with a server that does not answer: it may be restarted
LOOK_AGAIN_S = 0.25
CONFLICT = 409


def run(
    client: RestClient, file: Path, app: str, credentials: Path | None, *, dry_run: bool
) -> bool:
    """Import a file; False if a line was refused. Raises FleetwireError, RestError."""
    if credentials is None and not dry_run:
        raise FleetwireError("--credentials FILE says where to write the passwords of new devices")
    lines = read(file, app)
    counts: Counter[str] = Counter()
    descriptor = -1 if credentials is None or dry_run else _create(credentials)
    try:
        work = _DryRun(client) if dry_run else _Import(client, len(lines))
        with progress() as bar, work:
            task = bar.add_task("devices", total=len(lines))
            start = 0
            for portion in portions(lines, PORTION):
                items = _send(client, work.path, portion)
                if descriptor >= 0:
                    _write(descriptor, items)
                for number, item in enumerate(items, start + 1):
                    counts[item["outcome"]] += 1
                    if item["outcome"] == "refused":
                        reason = printable(f"{item['device_id']}: {item['reason']}".encode())
                        note(f"device {number}, {reason}")
                start += len(items)
                bar.update(task, completed=work.done(start))
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    words = ("created", "changed", "unchanged", "refused")
    said = ", ".join(f"{counts[word]} {word}" for word in words)
    say(f"{said} (dry run: nothing was changed)" if dry_run else said)
    return not counts["refused"]


class _DryRun:
    """Portions that change nothing, and that nobody else can watch."""

    path = f"{IMPORTS}?dry_run=true"

    def __init__(self, client: RestClient) -> None:
        self._client = client

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        return None

    def done(self, sent: int) -> int:
        """Return how many devices are done, of which so many were sent."""
        return sent


class _Import(_DryRun):
    """Portions of a job, which others can watch; when we are stopped it is cancelled."""

    def __init__(self, client: RestClient, total: int) -> None:
        super().__init__(client)
        begun = client.post(JOBS, {"kind": "device.import", "total": total}, key=_new_key())
        self._job = f"{JOBS}/{begun['id']}"
        self.path = f"{IMPORTS}?job={begun['id']}"
        note(f"job {begun['id']}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._client.post(f"{self._job}/cancel", {})

    def done(self, sent: int) -> int:
        done: int = self._client.get(self._job)["done"]
        return done


def _send(client: RestClient, path: str, portion: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body, key = {"devices": portion}, _new_key()
    patience_until = time.monotonic() + PATIENCE_S
    is_again = False
    while True:
        try:
            items: list[dict[str, Any]] = client.post(path, body, key=key)["items"]
        except RestError as error:
            if error.status == CONFLICT and is_again:
                # The server was cut off within these devices. Some may be there, unchanged now.
                first, last = portion[0]["device_id"], portion[-1]["device_id"]
                note(
                    f"The server was cut off between {first} and {last}. Those of them that are "
                    "unchanged now and were not there before need a new credential."
                )
                key, is_again = _new_key(), False
                continue
            # Without an answer it comes again: by the same key it is carried out once, and the
            # passwords of a first success are told again.
            if error.status or time.monotonic() > patience_until:
                raise
            is_again = True
            time.sleep(LOOK_AGAIN_S)
        else:
            return items


def _new_key() -> str:
    return str(uuid.uuid4())


def _create(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # these are secrets
    except OSError as error:
        raise FleetwireError(f"{file} cannot be made: {error}") from None


def _write(descriptor: int, items: list[dict[str, Any]]) -> None:
    """Write `username,password` lines, on the disk before the next portion is sent."""
    given = [item["credential"] for item in items if item["credential"] is not None]
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([each["username"], each["password"]] for each in given)
        out.flush()
        os.fsync(descriptor)
