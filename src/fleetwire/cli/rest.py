"""RestClient: what the command line asks of a running server over HTTP."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from fleetwire.errors import FleetwireError
from fleetwire.settings import is_loopback

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class RestError(FleetwireError):
    """The server did not do it. `status` is 0 when there was no answer at all."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RestClient:
    """One server, asked with one access token. Safe to share between threads."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RestError(f"{url!r} is not an address such as http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self.token = token
        self._timeout_s = timeout_s
        # A proxy of the environment is for other machines, never for this one.
        handlers = [urllib.request.ProxyHandler({})] if _is_here(parts.hostname) else []
        self._opener = urllib.request.build_opener(*handlers)

    def login(self, username: str, password: str) -> str:
        """Sign in, keep the access token and return it. Raises RestError."""
        answer = self.post("/api/v1/auth/login", {"username": username, "password": password})
        self.token = str(answer["access_token"])
        return self.token

    def get(self, path: str) -> Any:
        """Return the JSON of an answer. Raises RestError."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON and return the JSON of the answer. Raises RestError."""
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self.url + path, body, method=method)
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _decode(answer.read(MAX_ANSWER_BYTES), self.url + path)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, method, self.url + path) from None
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ConnectionRefusedError):
                raise RestError(f"Nothing listens at {self.url}. Is the server running?") from None
            raise RestError(f"{self.url} cannot be reached: {reason}") from None
        except (OSError, ValueError) as error:
            raise RestError(f"{self.url} cannot be asked: {error}") from None


def _is_here(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:  # a name
        return False


def _decode(body: bytes, url: str) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        raise RestError(f"{url} did not answer with JSON; is that a Fleetwire?") from None


def _refusal(error: urllib.error.HTTPError, method: str, url: str) -> RestError:
    try:
        problem = json.loads(error.read(MAX_ANSWER_BYTES))
        said = str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError, OSError):
        said = ""
    advice = ""
    if error.code == 401:
        advice = " Sign in: export FLEETWIRE_TOKEN=$(fleetwire login)"
    return RestError(f"{method} {url}: {error.code} {said or error.reason}{advice}", error.code)
