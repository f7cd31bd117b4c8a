"""HTTP: `/mqttClient.html`, an MQTT client in the browser, with its own script and style."""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response

MEDIA_TYPES: Final = {
    "mqttClient.html": "text/html; charset=utf-8",
    "mqttClient.js": "text/javascript; charset=utf-8",
    "mqttClient.css": "text/css; charset=utf-8",
}
# It loads from here alone, and may connect to whatever broker it is told.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ws: wss:; "
    "form-action 'none'; base-uri 'none'"
)


def page_routes() -> APIRouter:
    """Return the routes; what they serve is read once."""
    router = APIRouter(include_in_schema=False)
    folder = files("fleetwire.apps.farm") / "static"
    for name, media_type in MEDIA_TYPES.items():
        _serve(router, name, (folder / name).read_bytes(), media_type)
    return router


def _serve(router: APIRouter, name: str, content: bytes, media_type: str) -> None:
    @router.get(f"/{name}", name=name)
    async def read() -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return Response(content, media_type=media_type, headers=headers)
