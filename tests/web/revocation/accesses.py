"""Accesses: what lets somebody in, each with the way in which it is taken away."""

import itertools
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import httpx

from tests.house import House, Login

PASSWORD = "a long enough password"
ANOTHER = "quite another password"
TIMEOUT_S = 10.0

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Access:
    """A credential: `token` over HTTP and on live channels, `login` over MQTT.

    `revoke` returns once the server has answered that it is taken away. `left` is what a route that
    was open answers from then on: 401, or 403 if only something was taken.
    """

    token: str
    login: Login
    revoke: Callable[[], None]
    left: int = 401


class Person:
    """Somebody of the test's own, signed in."""

    def __init__(self, house: House, role: str = "operator") -> None:
        self._house = house
        self.name = f"person-{next(_numbers)}"
        self.email = f"{self.name}@ward.example"
        account = {"email": self.email, "username": self.name, "role": role}
        made = owner(house, "POST", "/api/v1/accounts", account | {"password": PASSWORD})
        self.id: int = made["id"]
        self._sign_in()

    def _sign_in(self) -> None:
        login = {"username": self.name, "password": PASSWORD}
        tokens = _content(_asked(self._house, "POST", "/api/v1/auth/login", login))
        self.token: str = tokens["access_token"]
        self.refresh_token: str = tokens["refresh_token"]

    def again(self) -> "Person":
        """Return the same person, signed in once more."""
        other = copy(self)
        other._sign_in()
        return other

    def sign_out(self) -> None:
        """End this login."""
        self.asks("POST", "/api/v1/auth/logout", {"refresh_token": self.refresh_token})

    def asks(self, method: str, path: str, body: Any = None) -> Any:
        """Ask on this person's behalf."""
        return _content(_asked(self._house, method, path, body, self.token))

    def access(self, revoke: Callable[[], object], left: int = 401) -> Access:
        """Return what the access token gives, and how it is taken away."""

        def work() -> None:
            revoke()

        return Access(self.token, Login(self.name, self.token), work, left)


def owner(house: House, method: str, path: str, body: Any = None) -> Any:
    """Ask as the administrator of the house."""
    headers = {"If-Match": "*"} if method == "PATCH" else {}
    return _content(house.http(house.url).request(method, path, json=body, headers=headers))


def revoked_key(house: House) -> Access:
    key = {
        "name": f"key-{next(_numbers)}",
        "subscribe": ["devices/+/data"],
        "permissions": ["device.read", "telemetry.read", "broker.read"],
    }
    made = owner(house, "POST", "/api/v1/api-keys", key)
    path = f"/api/v1/api-keys/{made['key']['id']}"
    return _with_key(made["token"], lambda: owner(house, "DELETE", path))


def revoked_personal_key(house: House) -> Access:
    person, made = _personal_key(house)
    path = f"/api/v1/me/keys/{made['key']['id']}"
    return _with_key(made["token"], lambda: person.asks("DELETE", path))


def key_of_a_closed_account(house: House) -> Access:
    person, made = _personal_key(house)
    path = f"/api/v1/accounts/{person.id}"
    closed = {"is_active": False}
    return _with_key(made["token"], lambda: owner(house, "PATCH", path, closed))


def key_of_a_removed_member(house: House) -> Access:
    """He stays a member of another organisation, but the key was for this one."""
    person, made = _personal_key(house)
    _join_another(house, person)
    path = f"/api/v1/accounts/{person.id}/membership"
    return _with_key(made["token"], lambda: owner(house, "DELETE", path))


def key_of_a_lowered_role(house: House) -> Access:
    """A key may what its person may: not look into the broker any more."""
    person, made = _personal_key(house)
    path = f"/api/v1/accounts/{person.id}"
    viewer = {"role": "viewer"}
    return _with_key(made["token"], lambda: owner(house, "PATCH", path, viewer), left=403)


def signed_out(house: House) -> Access:
    person = Person(house)
    return person.access(person.sign_out)


def ended_session(house: House) -> Access:
    """He ends one of his logins from another one."""
    person = Person(house)
    (session,) = person.asks("GET", "/api/v1/me/sessions")["items"]
    other = person.again()
    path = f"/api/v1/me/sessions/{session['id']}"
    return person.access(lambda: other.asks("DELETE", path))


def ended_sessions(house: House) -> Access:
    person = Person(house)
    path = f"/api/v1/accounts/{person.id}/sessions"
    return person.access(lambda: owner(house, "DELETE", path))


def used_refresh_token(house: House) -> Access:
    """Who shows a refresh token a second time may have stolen it: the whole login ends."""
    person = Person(house)
    body = {"refresh_token": person.refresh_token}
    person.asks("POST", "/api/v1/auth/refresh", body)

    def again() -> None:
        assert _asked(house, "POST", "/api/v1/auth/refresh", body).status_code == 401

    return person.access(again)


def changed_password(house: House) -> Access:
    person = Person(house)
    body = {"old_password": PASSWORD, "new_password": ANOTHER}
    return person.access(lambda: person.asks("POST", "/api/v1/auth/change-password", body))


def reset_password(house: House) -> Access:
    person = Person(house)
    reset = owner(house, "POST", f"/api/v1/accounts/{person.id}/password-reset")
    body = {"token": reset["token"], "new_password": ANOTHER}
    return person.access(lambda: person.asks("POST", "/api/v1/auth/reset-password", body))


def closed_account(house: House) -> Access:
    person = Person(house)
    body = {"is_active": False}
    path = f"/api/v1/accounts/{person.id}"
    return person.access(lambda: owner(house, "PATCH", path, body))


def removed_member(house: House) -> Access:
    """He stays a member of another organisation, so his account goes on."""
    person = Person(house)
    _join_another(house, person)
    path = f"/api/v1/accounts/{person.id}/membership"
    return person.access(lambda: owner(house, "DELETE", path))


# Of people and programs; what is left of them afterwards is nothing.
ALL = (
    revoked_key,
    revoked_personal_key,
    key_of_a_closed_account,
    key_of_a_removed_member,
    signed_out,
    ended_session,
    ended_sessions,
    used_refresh_token,
    changed_password,
    reset_password,
    closed_account,
    removed_member,
)
SOME = (revoked_key, signed_out, closed_account, removed_member)


def lowered_role(house: House, role: str = "operator") -> Access:
    """An operator becomes a viewer: he may not look into the broker any more."""
    person = Person(house, role)
    path = f"/api/v1/accounts/{person.id}"
    return person.access(lambda: owner(house, "PATCH", path, {"role": "viewer"}), left=403)


def revoked_credential(house: House) -> Access:
    return _device(house, lambda path, id: owner(house, "DELETE", f"{path}/credentials/{id}"))


def deleted_device(house: House) -> Access:
    return _device(house, lambda path, id: owner(house, "DELETE", path))


def _device(house: House, revoke: Callable[[str, int], Any]) -> Access:
    name = f"device-{next(_numbers)}"
    login = house.register_device(name)
    path = f"/api/v1/devices/medical/{name}"
    (credential,) = owner(house, "GET", f"{path}/credentials")
    return Access("", login, lambda: revoke(path, credential["id"]))


def _join_another(house: House, person: Person) -> None:
    there = owner(house, "POST", "/api/v1/organizations", {"name": f"Other {next(_numbers)}"})
    switched = owner(house, "POST", "/api/v1/auth/switch", {"organization": there["id"]})
    email = {"email": person.email}
    invited = _content(
        _asked(house, "POST", "/api/v1/invitations", email, switched["access_token"])
    )
    accepted = {"token": invited["token"], "password": PASSWORD}
    person.asks("POST", "/api/v1/auth/accept-invitation", accepted)


def _personal_key(house: House) -> tuple[Person, Any]:
    person = Person(house)
    permissions = ["device.read", "telemetry.read", "message.read", "broker.read"]
    made = person.asks("POST", "/api/v1/me/keys", {"name": "laptop", "permissions": permissions})
    return person, made


def _with_key(token: str, revoke: Callable[[], object], left: int = 401) -> Access:
    def work() -> None:
        revoke()

    return Access(token, Login("program", token), work, left)


def _asked(
    house: House, method: str, path: str, body: Any = None, token: str = ""
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, house.url + path, json=body, headers=headers, timeout=TIMEOUT_S)


def _content(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.url}: {answer.text}"
    return answer.json() if answer.content else None
