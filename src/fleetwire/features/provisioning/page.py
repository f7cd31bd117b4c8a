"""The page behind a claim's QR code: whoever installs a device claims it with a telephone."""

from base64 import b64encode
from hashlib import sha256
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

# The script reads the code behind the #, which no server is ever sent, and asks the one it is from.
_SCRIPT: Final = """
const form = document.forms[0], out = document.querySelector("pre");
form.code.value = decodeURIComponent(location.hash.slice(1));
form.addEventListener("submit", async event => {
  event.preventDefault();
  const body = {code: form.code.value};
  if (form.device_id.value) body.device_id = form.device_id.value;
  const answer = await fetch("api/v1/provision/claim", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  const said = await answer.json();
  out.textContent = answer.ok ? JSON.stringify(said, null, 2) : said.detail;
  if (answer.ok) form.remove();
});
"""
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }
label { display: block; margin: 1rem 0; }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .5rem; }
button { font: inherit; padding: .5rem 1.5rem; } pre { white-space: pre-wrap; }
"""
_PAGE: Final = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Claim a device</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>Claim a device</h1>
<p>The answer is what the device connects with. It is shown once: enter it in the device now.</p>
<form><label>Code <input name="code" autocomplete="off" required></label>
<label>Device id, if the code is for any device <input name="device_id" autocomplete="off"></label>
<button>Claim</button></form><pre role="status"></pre>
<script>{_SCRIPT}</script></body></html>
"""


def _digest(text: str) -> str:
    """Return how a Content Security Policy names this very text (CSP Level 3 §2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY: Final = (
    f"default-src 'none'; connect-src 'self'; script-src {_digest(_SCRIPT)}; "
    f"style-src {_digest(_STYLE)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/claim")
async def claim_page() -> HTMLResponse:
    """Show the page; it is the same for everybody, and the code is not sent for it."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})
