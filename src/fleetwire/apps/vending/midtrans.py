"""Midtrans over HTTP: QRIS by its core API, everything else by its Snap page."""

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Row

from fleetwire.apps.vending.errors import GatewayError
from fleetwire.apps.vending.gateways import Charge, Gateway, Notification
from fleetwire.apps.vending.terms import MIDTRANS, Terms

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 256 * 1024
# How Snap calls what a customer may choose.
_SNAP_METHODS: Final = {
    "va": ["bca_va", "bni_va", "bri_va", "permata_va", "other_va"],
    "gopay": ["gopay"],
    "shopeepay": ["shopeepay"],
}


class Midtrans(Gateway):
    """Calls that may wait run on a thread; each has a time-out."""

    name = MIDTRANS

    def __init__(self, terms: Terms) -> None:
        self._url = terms.midtrans_url
        self._snap_url = terms.midtrans_snap_url
        key = base64.b64encode(f"{terms.server_key}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {key}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    async def charge(self, order: Row[Any], items: Sequence[Row[Any]]) -> Charge:
        details = {
            "transaction_details": {"order_id": order.id, "gross_amount": order.total_amount},
            "item_details": [
                {
                    "id": str(item.product_id),
                    "price": item.unit_price,
                    "quantity": item.quantity,
                    "name": item.product_name[:50],
                }
                for item in items
            ],
            "customer_details": {"phone": order.customer_phone or ""},
        }
        minutes = max(1, round((order.expires_at - order.created_at) / 60e6))
        if order.payment_method == "qris":
            answer = await self._call(
                f"{self._url}/v2/charge",
                {
                    "payment_type": "qris",
                    "custom_expiry": {"expiry_duration": minutes, "unit": "minute"},
                    **details,
                },
            )
            urls = [str(each.get("url", "")) for each in answer.get("actions") or []]
            token = str(answer.get("transaction_id", ""))
            return Charge(urls[0] if urls else "", token, answer.get("qr_string"))
        answer = await self._call(
            f"{self._snap_url}/snap/v1/transactions",
            {
                "enabled_payments": _SNAP_METHODS[order.payment_method],
                "expiry": {"duration": minutes, "unit": "minutes"},
                **details,
            },
        )
        if not answer.get("token"):
            raise GatewayError("The payment gateway gave no token")
        return Charge(str(answer.get("redirect_url", "")), str(answer["token"]))

    async def look_up(self, order_id: str) -> Notification | None:
        answer = await self._call(f"{self._url}/v2/{quote(order_id, safe='')}/status")
        if str(answer.get("status_code")) == "404":
            return None
        try:
            return Notification(
                order_id=str(answer["order_id"]),
                transaction_status=str(answer["transaction_status"]),
                transaction_id=str(answer["transaction_id"]),
                status_code=str(answer["status_code"]),
                gross_amount=str(answer["gross_amount"]),
                signature_key=str(answer["signature_key"]),
                payment_type=answer.get("payment_type"),
                fraud_status=answer.get("fraud_status"),
                raw=json.dumps(answer),
            )
        except KeyError as error:
            raise GatewayError(f"The payment gateway's answer has no {error}") from None

    async def cancel(self, order_id: str) -> None:
        await self._call(f"{self._url}/v2/{quote(order_id, safe='')}/cancel", {})

    async def refund(self, order_id: str, amount: int) -> None:
        # With a key of our own, what is sent twice is paid back once.
        await self._call(
            f"{self._url}/v2/{quote(order_id, safe='')}/refund",
            {"refund_key": f"refund-{order_id}", "amount": amount, "reason": "not dispensed"},
        )

    async def _call(self, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer. Raises GatewayError for what is no success, 404 aside."""
        answer = await asyncio.to_thread(self._fetch, url, body)
        code = str(answer.get("status_code", "200"))
        if not code.startswith("2") and code != "404":
            what = str(answer.get("status_message", ""))[:120]
            raise GatewayError(f"The payment gateway refused ({code}): {what}")
        if code == "404" and body is not None:
            raise GatewayError("The payment gateway knows no such transaction")
        return answer

    def _fetch(self, url: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers)  # https by Terms
        try:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                    said, status = answer.read(MAX_ANSWER_BYTES), answer.status
            except urllib.error.HTTPError as error:
                said, status = error.read(MAX_ANSWER_BYTES), error.code
            found = json.loads(said)
        except (OSError, ValueError) as error:
            raise GatewayError(f"The payment gateway does not answer: {error}") from None
        if not isinstance(found, dict):
            raise GatewayError("The payment gateway's answer is no object")
        messages = found.get("error_messages")
        return {"status_code": str(status), "status_message": str(messages or ""), **found}
