"""Vending's rooms for orders are open, but who shows a credential there stays only as long as it.

They are Socket.IO's root namespace on the app's listener. An order's id cannot be guessed, so that
whoever knows it may follow it without a credential; the same is so of `/ws/order:{order_id}`, which
asks nobody for one.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.house import House
from tests.web.realtime.socket_client import SocketIOClient, entered
from tests.web.realtime.talk import Refused
from tests.web.revocation import accesses
from tests.web.revocation.accesses import Access
from tests.web.revocation.channels import SOON_S, url_of

pytestmark = pytest.mark.slow


class Shop:
    """The orders of a machine that has plenty."""

    def __init__(self, house: House) -> None:
        self.port = house.app_ports["vending"]
        self._http = house.http(url_of(house, "vending"))
        stock = self._got(self._http.get("/api/stock/VM01"))
        self._slots = [slot["slot_id"] for slot in stock["slots"] if slot["current_stock"]]

    def order(self) -> str:
        """Begin an order; return its room."""
        body = {"slot_id": self._slots[0], "quantity": 1, "payment_method": "qris"}
        return f"order:{self._got(self._http.post('/api/orders', json=body))['order_id']}"

    def cancel(self, room: str) -> None:
        """Cancel the order of a room, of which those in it are told."""
        self._got(self._http.post(f"/api/payments/cancel/{room.removeprefix('order:')}"))

    @staticmethod
    def _got(answer: httpx.Response) -> Any:
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def selling_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("selling"), apps=("medical", "vending"), options=["--demo"]
    )
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def shop(selling_house: House) -> Shop:
    return Shop(selling_house)


async def told_of(client: SocketIOClient, shop: Shop, room: str) -> None:
    """Cancel the order of a room; return once the client was told."""
    await asyncio.to_thread(shop.cancel, room)
    async with asyncio.timeout(10):
        while True:
            told = await client.next("order.status")
            if (f"order:{told['order_id']}", told["status"]) == (room, "CANCELLED"):
                return


@pytest.mark.parametrize("make", [pytest.param(each, id=each.__name__) for each in accesses.ALL])
async def test_who_shows_what_is_taken_away_is_put_out_of_an_order_s_room_in_under_a_second(
    selling_house: House, shop: Shop, make: Callable[[House], Access]
) -> None:
    access = await asyncio.to_thread(make, selling_house)
    before, after = [await asyncio.to_thread(shop.order) for _ in range(2)]
    auth = {"token": access.token}
    async with entered(shop.port) as kiosk, entered(shop.port, auth=auth) as person:
        for client in (kiosk, person):
            assert await client.ask("join", [before, after]) == {"rooms": sorted([before, after])}
        await told_of(person, shop, before)
        await asyncio.to_thread(access.revoke)
        began = time.monotonic()
        async with asyncio.timeout(3 * SOON_S):
            assert (await person.next("refused"))["status"] == 401
            await person.closed()
        assert time.monotonic() - began < SOON_S
        person.told.clear()
        await told_of(kiosk, shop, after)
        assert person.told == []
    with pytest.raises(Refused) as refused:
        async with entered(shop.port, auth=auth):
            pass
    assert refused.value.status == 401


async def test_who_is_a_viewer_now_stays_in_an_order_s_room(
    selling_house: House, shop: Shop
) -> None:
    access = await asyncio.to_thread(accesses.lowered_role, selling_house)
    room = await asyncio.to_thread(shop.order)
    async with entered(shop.port, auth={"token": access.token}) as person:
        await person.ask("join", room)
        await asyncio.to_thread(access.revoke)
        await told_of(person, shop, room)
