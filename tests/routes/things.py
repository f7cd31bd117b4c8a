"""Things of the first organisation, made anew for each call that names them."""

import itertools
import secrets
from collections.abc import Mapping
from string import Formatter
from typing import Any

import httpx
from fastapi.requests import HTTPConnection
from sqlalchemy import insert

from fleetwire.apps.vending import orders
from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.permissions import PERMISSIONS
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.kit import Caller, Gate, Transaction, instants
from fleetwire.net.client import MQTTClient
from fleetwire.runtime.house import House

OURS = 1
THEIRS = 2
NOBODY = 999_999  # an account that nobody has


class TableGate(Gate):
    """Believes `Bearer <organisation> <permissions left out>`, with spaces: all can be made up.

    What real tokens stand for is proved beside the accounts.
    """

    async def caller(self, connection: HTTPConnection) -> Caller:
        scheme, _, said = connection.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            raise UnauthenticatedError("Sign in first.")
        organization, _, without = said.partition(" ")
        account_id = 1 if organization == str(OURS) else NOBODY
        return Caller(
            f"account:{account_id}",
            int(organization),
            PERMISSIONS["owner"] - set(without.split()),
            account_id=account_id,
            role="owner",
        )


def bearer(organization: int, without: str = "") -> dict[str, str]:
    """Return the header of somebody who may do everything but one thing."""
    return {"Authorization": f"Bearer {organization} {without}".rstrip()}


class Things:
    """Makes what is named, by the routes themselves where there is one."""

    def __init__(
        self,
        house: House,
        http: httpx.AsyncClient,
        tablets: httpx.AsyncClient,
        vending: httpx.AsyncClient,
        messaging: httpx.AsyncClient,
    ) -> None:
        self._house = house
        self._http = http
        self._tablets = tablets
        self._vending = vending
        self._messaging = messaging
        self._numbers = itertools.count(1)
        self._clients: list[MQTTClient] = []

    async def close(self) -> None:
        """Disconnect the clients that are still there."""
        for client in self._clients:
            if client.is_connected:
                await client.disconnect()

    async def fill(self, *templates: Any) -> list[Any]:
        """Return the templates with the names of new things in them, one thing for each name."""
        made: dict[str, str] = {}
        return [await self._fill(template, made) for template in templates]

    async def _fill(self, template: Any, made: dict[str, str]) -> Any:
        if isinstance(template, Mapping):
            return {key: await self._fill(value, made) for key, value in template.items()}
        if isinstance(template, list):
            return [await self._fill(value, made) for value in template]
        if not isinstance(template, str):
            return template
        for _, name, _, _ in Formatter().parse(template):
            if name is not None and name not in made:
                made[name] = str(await getattr(self, f"_{name}")(made))
        filled = template.format(**made)
        return int(filled) if template in ("{refused}", "{slot}") else filled

    async def _name(self, made: dict[str, str]) -> str:
        return f"new-{next(self._numbers)}"

    def _ours(self) -> str:
        return f"ours-{next(self._numbers)}"

    async def _fingerprint(self, made: dict[str, str]) -> str:
        return secrets.token_hex(32)

    async def _device(self, made: dict[str, str]) -> str:
        registration = {
            "app": "medical",
            "device_id": self._ours(),
            "type": "ecg_monitor",
        }
        return str((await self._post("/api/v1/devices", registration))["device"]["device_id"])

    async def _tablet(self, made: dict[str, str]) -> int:
        made_one = await self._post_to_tablets("/api/device", {"deviceCode": self._ours()})
        return int(made_one["id"])

    async def _checkout(self, made: dict[str, str]) -> int:
        lending = {
            "company": self._ours(),
            "borrowerId": "17",
            "deviceIds": [await self._tablet(made)],
            "startTime": 0,
            "endTime": 1,
        }
        return int((await self._post_to_tablets("/api/checkouts", lending))["id"])

    async def _user(self, made: dict[str, str]) -> int:
        user = {"username": self._ours(), "password": secrets.token_hex(16)}
        return int((await self._post_to_tablets("/api/user", user))["id"])

    async def _post_to_tablets(self, path: str, body: Any) -> Any:
        answer = await self._tablets.post(path, json=body, headers=bearer(OURS))
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def _machine(self, made: dict[str, str]) -> str:
        machine = {"machine_id": self._ours()}
        return str((await self._post_to_vending("/api/machines", machine))["id"])

    async def _product(self, made: dict[str, str]) -> int:
        product = {"name": self._ours(), "price": 5000}
        return int((await self._post_to_vending("/api/products", product))["data"]["id"])

    async def _slot(self, made: dict[str, str]) -> int:
        path = f"/api/machines/{await self._machine(made)}/slots/assign"
        body = {"slot_number": 1, "product_id": await self._product(made)}
        return int((await self._post_to_vending(path, body))["slots"][0]["slot_id"])

    async def _order(self, made: dict[str, str]) -> str:
        slot = await self._slot(made)
        restock = {"slot_id": slot, "quantity": 1, "change_type": "RESTOCK"}
        await self._post_to_vending("/api/stock/update", restock)

        def work(tx: Transaction) -> str:
            return orders.create(
                tx, [(slot, 1)], payment_method="qris", customer_phone=None, open_s=900,
                now=instants.now(),
            )  # fmt: skip

        return await self._house.database.write(work)

    async def _subscription(self, made: dict[str, str]) -> str:
        topic = f"chat/{self._ours()}"
        answer = await self._messaging.post(
            "/mqtt/subscribe", json={"topic": topic}, headers=bearer(OURS)
        )
        assert answer.status_code == 201, answer.text
        return topic

    async def _member(self, made: dict[str, str]) -> str:
        return "7"

    async def _chat_room(self, made: dict[str, str]) -> str:
        room = self._ours()
        answer = await self._messaging.put(f"/mqtt/rooms/{room}/members/7", headers=bearer(OURS))
        assert answer.status_code == 200, answer.text
        return room

    async def _post_to_vending(self, path: str, body: Any) -> Any:
        answer = await self._vending.post(path, json=body, headers=bearer(OURS))
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def _group(self, made: dict[str, str]) -> str:
        group = {"name": self._ours(), "query": "tag:cold"}
        return str((await self._post("/api/v1/groups", group))["name"])

    async def _area(self, made: dict[str, str]) -> int:
        return int((await self._post("/api/v1/areas", {"name": self._ours()}))["id"])

    async def _claim(self, made: dict[str, str]) -> int:
        claim = {"app": "medical", "device_id": self._ours(), "type": "ecg_monitor"}
        return int((await self._post("/api/v1/claims", claim))["claim"]["id"])

    async def _fleet_key(self, made: dict[str, str]) -> int:
        key = {"name": self._ours(), "app": "medical", "type": "ecg_monitor"}
        return int((await self._post("/api/v1/fleet-keys", key))["key"]["id"])

    async def _enrolment(self, made: dict[str, str]) -> int:
        key = {"name": self._ours(), "app": "medical", "type": "ecg_monitor"}
        text = (await self._post("/api/v1/fleet-keys", key))["fleet_key"]
        asked = {"fleet_key": text, "device_id": self._ours()}
        await self._post("/api/v1/provision/enrol", asked)
        path = "/api/v1/enrolments?state=pending&limit=1000"
        found = (await self._http.get(path, headers=bearer(OURS))).json()["items"]
        return int(found[-1]["id"])

    async def _type(self, made: dict[str, str]) -> str:
        return str((await self._post("/api/v1/device-types", {"name": self._ours()}))["name"])

    async def _credential(self, made: dict[str, str]) -> int:
        path = f"/api/v1/devices/medical/{made['device']}/credentials"
        answer = await self._http.get(path, headers=bearer(OURS))
        return int(answer.json()[0]["id"])

    async def _account(self, made: dict[str, str]) -> int:
        name = self._ours()
        account = {"email": f"{name}@x.example", "username": name}
        return int((await self._post("/api/v1/accounts", account))["id"])

    async def _invitation(self, made: dict[str, str]) -> int:
        invitation = {"email": f"{self._ours()}@x.example"}
        return int((await self._post("/api/v1/invitations", invitation))["invitation"]["id"])

    async def _key(self, made: dict[str, str]) -> int:
        key = {"name": self._ours(), "publish": ["{organization}/x"]}
        return int((await self._post("/api/v1/api-keys", key))["key"]["id"])

    async def _own_key(self, made: dict[str, str]) -> int:
        key = {"name": self._ours(), "permissions": ["device.read"]}
        return int((await self._post("/api/v1/me/keys", key))["key"]["id"])

    async def _session(self, made: dict[str, str]) -> str:
        answer = await self._http.post(
            "/api/v1/auth/switch", json={"organization": OURS}, headers=bearer(OURS)
        )
        assert answer.status_code == 200, answer.text
        path = "/api/v1/me/sessions"
        return str((await self._http.get(path, headers=bearer(OURS))).json()["items"][0]["id"])

    async def _command(self, made: dict[str, str]) -> str:
        path = f"/api/v1/devices/medical/{await self._device(made)}/commands"
        return str((await self._post(path, {"name": "start_monitoring"}))["id"])

    async def _batch(self, made: dict[str, str]) -> str:
        body = {"app": "medical", "devices": [await self._device(made)], "name": "start_monitoring"}
        return str((await self._post("/api/v1/command-batches", body))["id"])

    async def _chain(self, made: dict[str, str]) -> str:
        chain = {"app": "medical", "name": self._ours()}
        return str((await self._post("/api/v1/rules", chain))["id"])

    async def _rerun(self, made: dict[str, str]) -> str:
        body = {"ids": [await self._refused(made)]}
        return str((await self._post("/api/v1/quarantine/rerun", body))["id"])

    async def _job(self, made: dict[str, str]) -> str:
        return str((await self._post("/api/v1/jobs", {"kind": "device.import", "total": 1}))["id"])

    async def _refused(self, made: dict[str, str]) -> int:
        row = {
            "organization_id": OURS,
            "app": "medical",
            "topic": "devices/ours-x/data",
            "payload": b"{",
            "payload_bytes": 1,
            "qos": 1,
            "client_id": "ours-x",
            "identity": "device:medical/ours-x",
            "reason_code": 0x99,
            "reason": "The payload is not JSON",
            "received_at": instants.now(),
        }
        return int(
            await self._house.database.write(
                lambda tx: tx.execute(insert(quarantine).values(row)).inserted_primary_key[0]
            )
        )

    async def _client(self, made: dict[str, str]) -> str:
        return (await self._connect(made)).client_id

    async def _topic(self, made: dict[str, str]) -> str:
        client = await self._connect(made)
        topic = f"devices/{client.client_id}/status"
        await client.publish(topic, b'{"status": "online"}', retain=True)
        return topic

    async def _connect(self, made: dict[str, str]) -> MQTTClient:
        registration = {
            "app": "medical",
            "device_id": self._ours(),
            "type": "ecg_monitor",
        }
        answer = await self._post("/api/v1/devices", registration)
        credential = answer["credential"]
        client = MQTTClient(
            registration["device_id"],
            username=credential["username"],
            password=credential["password"],
        )
        await client.connect("127.0.0.1", self._house.ports["mqtt"])
        self._clients.append(client)
        return client

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self._http.post(path, json=body, headers=bearer(OURS))
        assert answer.status_code in (201, 202), answer.text
        return answer.json()
