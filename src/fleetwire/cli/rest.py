"""RestClient: what the command line asks of a running server over HTTP."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from fleetwire.errors import FleetwireError
from fleetwire.settings import is_loopback

TIMEOUT_S = 30.0
PAGE = 500  # items of a list asked for at once
MAX_ANSWER_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 64 * 1024


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

    def post(self, path: str, body: dict[str, Any], *, key: str | None = None) -> Any:
        """Send JSON and return the JSON of the answer; `key` is its Idempotency-Key.

        Raises RestError.
        """
        return self._ask("POST", path, json.dumps(body).encode(), key)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Change what is there and return the JSON of the answer. Raises RestError."""
        return self._ask("PATCH", path, json.dumps(body).encode())

    def delete(self, path: str) -> None:
        """Remove what is there. Raises RestError."""
        self._ask("DELETE", path, None)

    def every(self, path: str, **asked: str) -> Iterator[Any]:
        """Yield the items of all pages of a list. Raises RestError."""
        cursor = None
        while True:
            words = asked | {"limit": str(PAGE)} | ({} if cursor is None else {"cursor": cursor})
            page = self.get(f"{path}?{urlencode(words)}")
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield (name, content) of Server-Sent Events as they come, up to the one named `end`.

        Raises RestError, also if the stream breaks off before that.
        """
        request = self._request("GET", path, None)
        with self._open(request, "GET", self.url + path) as answer:
            name = ""
            try:
                for line in answer:
                    word, _, rest = line.decode().rstrip("\r\n").partition(": ")
                    if not word:
                        name = ""  # an event is over; the next may have no name
                    elif word == "event":
                        name = rest
                    elif word == "data" and name == "end":
                        return
                    elif word == "data":
                        yield name, json.loads(rest)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise RestError(f"{self.url}{path} broke off: {error}") from None
        raise RestError(f"{self.url}{path} broke off. Has the server stopped?")

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield a long answer as it comes. Raises RestError, also if it breaks off."""
        with self._open(self._request("GET", path, None), "GET", self.url + path) as answer:
            try:
                while chunk := answer.read(CHUNK_BYTES):
                    yield chunk
            except (OSError, http.client.HTTPException) as error:
                raise RestError(f"{self.url}{path} broke off: {error}") from None

    def _ask(self, method: str, path: str, body: bytes | None, key: str | None = None) -> Any:
        request = self._request(method, path, body)
        if key is not None:
            request.add_header("Idempotency-Key", key)
        with self._open(request, method, self.url + path) as answer:
            try:
                content = answer.read(MAX_ANSWER_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise RestError(f"{self.url} cannot be asked: {error}") from None
        return _decode(content, self.url + path)

    def _request(self, method: str, path: str, body: bytes | None) -> urllib.request.Request:
        request = urllib.request.Request(self.url + path, body, method=method)
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        return request

    def _open(self, request: urllib.request.Request, method: str, url: str) -> Any:
        try:
            return self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, method, url) from None
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
