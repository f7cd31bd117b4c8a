from coffee import app

from fleetwire.kit import Commands
from fleetwire.testing import TestHub


async def test_what_a_machine_brews_is_stored_and_told() -> None:
    async with TestHub(app) as hub:
        machine = await hub.device("kitchen")
        outcome = await machine.send("coffee/{device_id}/brewed", {"cups": 2, "beans_g": 180})
        assert outcome.is_stored
        assert (await hub.event("coffee.brewed")).body["cups"] == 2


async def test_few_beans_raise_an_alarm() -> None:
    async with TestHub(app) as hub:
        machine = await hub.device("kitchen")
        await machine.send("coffee/{device_id}/brewed", {"cups": 1, "beans_g": 20})
        assert (await hub.event("alarm.raised")).body["name"] == "beans"


async def test_no_cups_are_refused_with_the_reason() -> None:
    async with TestHub(app) as hub:
        machine = await hub.device("kitchen")
        outcome = await machine.send("coffee/{device_id}/brewed", {"cups": 0, "beans_g": 180})
        assert (outcome.is_stored, outcome.field) == (False, "cups")


async def test_an_order_goes_to_the_machine_and_its_answer_closes_it() -> None:
    async with TestHub(app) as hub:
        machine = await hub.device("kitchen")
        answer = await hub.http().post("/machines/kitchen/brew")
        order = await machine.next_message()
        assert order.json() == {"command": "brew", "cups": 1}
        await machine.answer(order.command_id, state="succeeded")
        command = await hub.service(Commands).wait(answer.json()["command"], 5)
        assert command.state == "succeeded"


async def test_nobody_orders_without_signing_in() -> None:
    async with TestHub(app) as hub:
        assert (await hub.http(token="").post("/machines/kitchen/brew")).status_code == 401


async def test_machines_are_rinsed_every_hour() -> None:
    async with TestHub(app) as hub:
        machine = await hub.device("kitchen")
        await hub.advance(3600)
        assert (await machine.next_message()).json() == {"command": "rinse"}
