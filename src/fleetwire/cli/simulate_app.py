"""`fleetwire simulate <app>`: the virtual devices that an app brings, and a view of how it goes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fleetwire.cli.console import note, say
from fleetwire.cli.devices import credential_in
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.cli.simulate import SignIn, show, summarise, token_of
from fleetwire.kit.simulation import SimulationSettings, Simulator, VirtualDevice
from fleetwire.runtime.loader import simulator_of
from fleetwire.runtime.simulation import Logins, Tally, drive

REGISTRATIONS_AT_ONCE = 4
LATE_S = 120.0  # devices that count their steps may take so much longer than was asked for


@dataclass(frozen=True)
class AppPlan:
    """Whose devices are to run, and against whom."""

    app: str
    settings: SimulationSettings
    duration_s: float
    platform_url: str
    host: str
    port: int


def run(plan: AppPlan, sign_in: SignIn) -> int:
    """Let the devices live for so long; return the exit status, 1 if anything went wrong.

    With somebody to sign in as they are registered first; else they connect without credentials,
    which a server that is bound to loopback allows. Raises SettingsError, RestError.
    """
    simulator = simulator_of(plan.app)(plan.settings)
    token = token_of(sign_in, plan.platform_url)
    logins: Logins = {}
    if token is not None:
        note(f"Registering {plan.settings.devices} devices at {plan.platform_url}")
        logins = _register(plan, token, simulator)
    tally = Tally()
    try:
        asyncio.run(_drive(plan, simulator, logins, tally))
    except KeyboardInterrupt:
        note("Ended early.")
    say("  ".join(f"{name} {value}" for name, value in simulator.summary().items()))
    summarise(tally)
    faults = simulator.faults()
    for fault in faults[:10]:
        note(fault)
    return 1 if faults or tally.errors or tally.acknowledged < tally.sent else 0


async def _drive(plan: AppPlan, simulator: Simulator, logins: Logins, tally: Tally) -> None:
    showing = asyncio.create_task(show(tally))
    try:
        await drive(
            simulator,
            plan.host,
            plan.port,
            duration_s=plan.duration_s + (LATE_S if simulator.counts_steps else 0),
            logins=logins,
            tally=tally,
        )
    finally:
        showing.cancel()


def _register(plan: AppPlan, token: str, simulator: Simulator) -> Logins:
    platform = RestClient(plan.platform_url, token)

    def register(device: VirtualDevice) -> tuple[str, str]:
        body = {"app": plan.app, "device_id": device.device_id, "type": device.type}
        try:
            answer = platform.post("/api/v1/devices", body)
        except RestError as error:
            if error.status != 409:
                raise
            # It is there from an earlier run. Its password was shown only then.
            path = f"/api/v1/devices/{plan.app}/{device.device_id}/credentials"
            answer = platform.post(path, {})
        return credential_in(answer)

    devices = simulator.devices()
    with ThreadPoolExecutor(REGISTRATIONS_AT_ONCE) as pool:
        given = pool.map(register, devices)
        return dict(zip((device.device_id for device in devices), given, strict=True))
