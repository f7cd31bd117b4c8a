"""The platform's listener: the rooms' routes, and a first page for people."""

from collections.abc import Callable, Sequence
from html import escape
from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from fleetwire.features.accounts import (
    api_key_endpoints as api_keys,
    endpoints as accounts,
    invitation_endpoints as invitations,
    personal_key_endpoints as personal_keys,
    session_endpoints as sessions,
)
from fleetwire.features.acl import endpoints as acl
from fleetwire.features.alarms import endpoints as alarms
from fleetwire.features.areas import endpoints as areas
from fleetwire.features.audit import endpoints as audit
from fleetwire.features.broker import bridge_endpoints as bridges, endpoints as broker
from fleetwire.features.commands import endpoints as commands
from fleetwire.features.devices import (
    area_endpoints as area_devices,
    bulk_endpoints as bulk,
    credential_endpoints as credentials,
    endpoints as devices,
    export_endpoints as export,
    group_endpoints as groups,
    presence_endpoints as presence,
)
from fleetwire.features.devicetypes import endpoints as types
from fleetwire.features.jobs import endpoints as jobs
from fleetwire.features.organizations import endpoints as organizations
from fleetwire.features.provisioning import (
    device_endpoints as getting_in,
    endpoints as provisioning,
    page as claim_page,
)
from fleetwire.features.quarantine import endpoints as quarantine
from fleetwire.features.rules import endpoints as rules
from fleetwire.features.telemetry import endpoints as telemetry


def platform_routers() -> list[APIRouter]:
    """Return the routes of all rooms, under `/api/v1`."""
    return [
        accounts.login_router,
        accounts.router,
        api_keys.router,
        personal_keys.router,
        sessions.router,
        invitations.router,
        organizations.router,
        devices.router,
        bulk.router,
        export.router,
        groups.router,
        presence.router,
        areas.router,
        types.router,
        area_devices.router,
        credentials.router,
        provisioning.router,
        getting_in.router,
        claim_page.router,
        telemetry.router,
        commands.router,
        rules.router,
        quarantine.router,
        jobs.router,
        alarms.router,
        audit.router,
        acl.router,
        broker.router,
        bridges.router,
    ]


def login_router() -> APIRouter:
    """Return the login routes, so that a token can be had on every listener."""
    return accounts.login_router


def landing_router(urls: Callable[[], Sequence[tuple[str, str]]]) -> APIRouter:
    """Return the page at `/`: what runs here and the first steps. `urls` gives (name, URL)."""
    router = APIRouter(include_in_schema=False)
    installed = escape(version("fleetwire"))

    @router.get("/")
    async def landing() -> HTMLResponse:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{_link(url)}</td></tr>" for name, url in urls()
        )
        return HTMLResponse(
            _PAGE.format(rows=rows, version=installed),
            headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )

    return router


def _link(url: str) -> str:
    text = escape(url)
    return f'<a href="{text}">{text}</a>' if url.startswith("http") else f"<code>{text}</code>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Fleetwire</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; --line: #8884; --accent: #0a7d5a; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto;
  padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h1 + p {{ margin-top: .25rem; opacity: .75; }}
table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
th, td {{ text-align: left; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); }}
th {{ font-weight: 600; white-space: nowrap; }} a {{ color: var(--accent); }}
li {{ margin: .4rem 0; }} code {{ font-size: .95em; }}
</style></head><body>
<h1>Fleetwire</h1><p>The device backend in one process. Version {version}.</p>
<table>{rows}</table>
<h2>First steps</h2>
<ol>
<li>Sign in: <code>POST /api/v1/auth/login</code> with the login that the first start printed.</li>
<li>Register a device: <code>POST /api/v1/devices</code>, or on its app's own listener.</li>
<li>Let it publish with the credentials you got, QoS 1: acknowledged means stored.</li>
<li>Read it back, watch it live, send it a command: try it out in <a href="/docs">Swagger</a>,
read it in <a href="/redoc">ReDoc</a>.</li>
</ol>
<p><a href="/health">Health</a> · <a href="/metrics">Metrics</a> ·
<a href="/openapi.json">OpenAPI</a></p>
</body></html>
"""
