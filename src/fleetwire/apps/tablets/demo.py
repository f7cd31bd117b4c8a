"""What `--demo` adds: two people whose password everybody knows, and a few tablets."""

from fleetwire.apps.tablets.people import REALM, ROLES
from fleetwire.apps.tablets.presence import APP
from fleetwire.apps.tablets.rows import TYPE, row_of
from fleetwire.kit import Caller, Clock, Devices, People, Store, Transaction

PASSWORD = "123456"
USERS = {"admin": "ADMIN", "staff": "STAFF"}
TABLETS = {
    "demo-tablet-1": ("Front desk", "SM-T225"),
    "demo-tablet-2": ("Meeting room", "SM-T225"),
    "demo-tablet-3": ("Warehouse", "TB-X306X"),
}


async def add_demo(
    caller: Caller, people: People, devices: Devices, store: Store, clock: Clock
) -> None:
    """Add what is not there yet."""
    for username, role in USERS.items():
        await people.create_for_demo(
            caller.organization_id,
            username=username,
            password=PASSWORD,
            role=ROLES.ours(role),
            realm=REALM,
        )
    for code, (name, model) in TABLETS.items():
        if devices.find(APP, code) is None:
            await devices.register(caller, APP, code, TYPE, name=name, attributes={"model": model})
    known = [device for code in TABLETS if (device := devices.find(APP, code)) is not None]
    at = clock.now()

    def work(tx: Transaction) -> None:
        for device in known:
            row_of(tx, device, at)

    await store.write(work)
