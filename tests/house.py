"""House: a real Fleetwire in a process of its own, for tests and benchmarks.

It runs on loopback with its own data folder and on free ports, which it keeps when it is started
again. Nothing here waits without a bound, and a failure shows the end of the server's log.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
REQUEST_TIMEOUT_S = 10.0
POLL_S = 0.01
LOG_TAIL_LINES = 40


class HouseError(AssertionError):
    """The server did not do what was asked of it; the text ends with the tail of its log."""


class Login(NamedTuple):
    """A user name and its password, of a person or of a device."""

    username: str
    password: str


class _Administrator(httpx.Auth):
    """Signs in, and once more if a test has signed the administrator out meanwhile."""

    def __init__(self, login: Callable[[], str]) -> None:
        self._login = login
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if "Authorization" in request.headers:  # somebody else's, or nobody's on purpose
            yield request
            return
        self._token = self._token or self._login()
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == 401:
            self._token = self._login()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


class House:
    """One Fleetwire over one data folder; it can be killed and started again.

    `apps` are those it runs; `options` are further words for `fleetwire serve`, `environment`
    further variables, `cores` the processor cores it may use.
    """

    def __init__(
        self,
        folder: Path,
        *,
        apps: Sequence[str] = ("medical",),
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cores: set[int] | None = None,
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "server.log"
        self.http_port = 0
        self.mqtt_port = 0
        self.mqtt_ws_port = 0
        self.app_ports = dict.fromkeys(apps, 0)
        self.administrator: Login | None = None
        self._options = list(options)
        self._environment = dict(environment or {})
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, httpx.Client] = {}

    def start(self) -> None:
        """Start the server and return when it is ready. Raises HouseError."""
        assert self._process is None, "this house is running already"
        ready_path = self.folder / "ready.json"
        ready_path.unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=self._variables(ready_path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self._cores is not None:
            # The interpreter has not come far: the threads it starts inherit this.
            os.sched_setaffinity(self._process.pid, self._cores)
        self._take_ports(self._wait_until_ready(ready_path))

    def stop(self) -> None:
        """Ask the server to end (SIGTERM). Raises HouseError if it does not, or not cleanly."""
        process = self._forget_process()
        process.terminate()
        try:
            status = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise self._error(f"did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM") from None
        if status != 0:
            raise self._error(f"ended with status {status} after SIGTERM")

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a loss of power would."""
        process = self._forget_process()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """Leave nothing running, whatever state the house is in."""
        if self.running:
            self.kill()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    @property
    def running(self) -> bool:
        """Whether the process was started and neither stopped nor killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, "this house is not running"
        return self._process.pid

    @property
    def url(self) -> str:
        """The root of the platform's listener."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def medical_url(self) -> str:
        """The root of the medical app's listener."""
        return f"http://127.0.0.1:{self.app_ports['medical']}"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "fleetwire.db"

    def log(self) -> str:
        """Everything the server has written so far, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def login(self) -> str:
        """Sign in as the administrator of the first start; return an access token."""
        assert self.administrator is not None, "the first start named no administrator"
        answer = httpx.post(
            f"{self.url}/api/v1/auth/login",
            json=self.administrator._asdict(),
            timeout=REQUEST_TIMEOUT_S,
        )
        if answer.status_code != 200:
            raise self._error(f"answered {answer.status_code} to the login: {answer.text}")
        token = answer.json()["access_token"]
        assert isinstance(token, str)
        return token

    def http(self, base_url: str) -> httpx.Client:
        """Return a client for this root that is signed in as the administrator."""
        if base_url not in self._clients:
            self._clients[base_url] = httpx.Client(
                base_url=base_url, auth=_Administrator(self.login), timeout=REQUEST_TIMEOUT_S
            )
        return self._clients[base_url]

    def register_device(
        self, device_id: str, type: str = "pulse_oximeter", patient_id: str = "patient-1"
    ) -> Login:
        """Register a medical device; return the credential it connects with."""
        answer = self.http(self.medical_url).post(
            "/devices/register",
            json={"device_id": device_id, "type": type, "patient_id": patient_id},
        )
        if answer.status_code != 201:
            raise self._error(f"answered {answer.status_code} to a registration: {answer.text}")
        mqtt = answer.json()["mqtt"]
        return Login(mqtt["username"], mqtt["password"])

    def select(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read the SQLite database beside the server, or after its end."""
        with closing(sqlite3.connect(f"file:{self.database_path}?mode=ro", uri=True)) as database:
            return database.execute(statement, parameters).fetchall()

    def _command(self) -> list[str]:
        words = [sys.executable, "-m", "fleetwire.cli.main", "serve"]
        words += ["--data-dir", str(self.data_dir), "--bind", "127.0.0.1"]
        words += ["--http-port", str(self.http_port)]
        words += ["--mqtt-port", str(self.mqtt_port), "--mqtt-ws-port", str(self.mqtt_ws_port)]
        for app, port in self.app_ports.items():
            words += ["--app-port", f"{app}={port}"]
        return words + self._options

    def _variables(self, ready_path: Path) -> dict[str, str]:
        # The settings of whoever starts this are not the settings of this server.
        mine = ("FLEETWIRE_", "MQTT_", "DATABASE_URL")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        kept["FLEETWIRE_APPS"] = ",".join(self.app_ports)
        return kept | self._environment | {"FLEETWIRE_READY_FILE": str(ready_path)}

    def _wait_until_ready(self, ready_path: Path) -> dict[str, Any]:
        assert self._process is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if ready_path.exists():  # it appears whole
                ready: dict[str, Any] = json.loads(ready_path.read_text())
                return ready
            if self._process.poll() is not None:
                status = self._forget_process().returncode
                raise self._error(f"ended with status {status} before it was ready")
            time.sleep(POLL_S)
        self.kill()
        raise self._error(f"was not ready within {READY_TIMEOUT_S:g} s")

    def _take_ports(self, ready: dict[str, Any]) -> None:
        self.http_port = ready["http"]
        self.mqtt_port = ready["mqtt"]
        self.mqtt_ws_port = ready["mqtt_ws"]
        self.app_ports = dict(ready["apps"])
        if ready["admin"] is not None:  # only the first start on a data folder shows it
            self.administrator = Login(ready["admin"]["username"], ready["admin"]["password"])

    def _forget_process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "this house is not running"
        process, self._process = self._process, None
        return process

    def _error(self, what: str) -> HouseError:
        tail = "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])
        return HouseError(f"The server {what}. Its log ends with:\n{tail or '(nothing)'}")
