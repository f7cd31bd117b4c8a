"""What the command line makes of a server's answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fleetwire.cli.rest import RestClient, RestError

PAGES = (
    b'{"items": [1, 2], "next_cursor": "two"}',
    b'{"items": [3], "next_cursor": null}',
)


class Answers(BaseHTTPRequestHandler):
    """Answers by the path: `/status/401` with a problem, `/text` without JSON, else what it got."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = 200, b""
        if self.path.startswith("/status/"):
            status = int(self.path.rpartition("/")[2])
            content = json.dumps({"title": "Title", "detail": "what was wrong"}).encode()
        elif self.path == "/text":
            content = b"<html>"
        elif self.path.startswith("/pages?"):
            content = PAGES["cursor=" in self.path]
        elif self.path == "/events":
            content = (
                b': hello\n\nevent: packet\ndata: {"a": 1}\n\n: still\n\nevent: end\ndata: {}\n\n'
            )
        elif self.path == "/broken":
            content = b'event: packet\ndata: {"a": 1}\n\nevent: packet\nda'
        elif self.path == "/api/v1/auth/login":
            content = b'{"access_token": "new-token"}'
        elif self.path != "/nothing":
            said = {"body": body.decode(), "token": self.headers.get("Authorization")}
            content = json.dumps(said).encode()
        self.send_response(status)
        missing = 10 if self.path == "/broken" else 0
        self.send_header("Content-Length", str(len(content) + missing))
        self.end_headers()
        self.wfile.write(content)

    do_DELETE = do_GET = do_POST = _answer  # noqa: N815  # the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        # It looks for its end so often, in seconds.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_json_goes_out_and_comes_back(url: str) -> None:
    answer = RestClient(f"{url}/", "my-token").post("/echo", {"a": 1})
    assert answer == {"body": '{"a": 1}', "token": "Bearer my-token"}


def test_an_answer_may_be_empty(url: str) -> None:
    assert RestClient(url).get("/nothing") is None


def test_the_token_of_a_login_is_kept(url: str) -> None:
    client = RestClient(url)
    assert client.login("admin", "secret") == "new-token"
    assert client.get("/echo")["token"] == "Bearer new-token"


def test_a_refusal_says_what_was_wrong(url: str) -> None:
    with pytest.raises(RestError, match=r"409 what was wrong$") as caught:
        RestClient(url).post("/status/409", {})
    assert caught.value.status == 409


def test_being_unknown_says_how_to_sign_in(url: str) -> None:
    with pytest.raises(RestError, match="fleetwire login"):
        RestClient(url).get("/status/401")


def test_an_answer_that_is_no_json(url: str) -> None:
    with pytest.raises(RestError, match="is that a Fleetwire"):
        RestClient(url).get("/text")


def test_all_pages_of_a_list_are_asked_for(url: str) -> None:
    assert list(RestClient(url).every("/pages", search="a b")) == [1, 2, 3]


def test_what_is_there_is_removed(url: str) -> None:
    RestClient(url).delete("/nothing")
    with pytest.raises(RestError, match="DELETE"):
        RestClient(url).delete("/status/404")


def test_events_are_told_by_name(url: str) -> None:
    assert list(RestClient(url).events("/events")) == [("packet", {"a": 1})]


def test_events_that_break_off_are_an_error(url: str) -> None:
    events = RestClient(url).events("/broken")
    assert next(events) == ("packet", {"a": 1})
    with pytest.raises(RestError, match="broke off"):
        next(events)


def test_nothing_listens(free_port: int) -> None:
    with pytest.raises(RestError, match="Is the server running") as caught:
        RestClient(f"http://127.0.0.1:{free_port}").get("/")
    assert caught.value.status == 0


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(RestError, match="is not an address"):
        RestClient(url)


def test_a_proxy_of_the_environment_is_not_for_this_machine(
    url: str, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    assert RestClient(url).get("/nothing") is None
