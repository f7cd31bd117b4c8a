"""Gateway: who takes the customer's money: the interface, Midtrans, and the built-in sandbox."""

import asyncio
import base64
import hmac
import json
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha512
from html import escape
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Row

from fleetwire.apps.vending.errors import GatewayError
from fleetwire.apps.vending.terms import MIDTRANS, SANDBOX, Terms

METHODS: Final = ("qris", "va", "gopay", "shopeepay")


@dataclass(frozen=True)
class Charge:
    """How an order can be paid. `qr_string` is None unless it is paid by scanning."""

    payment_url: str
    payment_token: str
    qr_string: str | None = None


@dataclass(frozen=True)
class Notification:
    """What a gateway says of a transaction, in the form of its webhook. `raw` is all of it."""

    order_id: str
    transaction_status: str
    transaction_id: str
    status_code: str
    gross_amount: str
    signature_key: str
    payment_type: str | None = None
    fraud_status: str | None = None
    raw: str = "{}"

    def is_signed(self, server_key: str) -> bool:
        """Say whether the signature is right, in a time that does not depend on the answer."""
        signature = signature_of(self.order_id, self.status_code, self.gross_amount, server_key)
        return hmac.compare_digest(signature.encode(), self.signature_key.lower().encode())

    @property
    def amount(self) -> Decimal | None:
        """The amount in whole rupiah, None if it is no number."""
        try:
            amount = Decimal(self.gross_amount)
        except InvalidOperation:
            return None
        return amount if amount.is_finite() else None


class Gateway(ABC):
    """A payment gateway. Everything raises GatewayError if the gateway does not do it."""

    name: str

    @abstractmethod
    async def charge(self, order: Row[Any], items: Sequence[Row[Any]]) -> Charge:
        """Open a transaction for an order."""

    @abstractmethod
    async def look_up(self, order_id: str) -> Notification | None:
        """Return what the gateway knows of an order's transaction, None if there is none."""

    @abstractmethod
    async def cancel(self, order_id: str) -> None:
        """End a transaction that is not paid."""

    @abstractmethod
    async def refund(self, order_id: str, amount: int) -> None:
        """Pay an amount back."""


def signature_of(order_id: str, status_code: str, gross_amount: str, server_key: str) -> str:
    """Return the signature of a notification in hexadecimal."""
    return sha512(f"{order_id}{status_code}{gross_amount}{server_key}".encode()).hexdigest()


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


SANDBOX_PATH: Final = "/api/payments/sandbox/"
ACTIONS: Final = {"pay": "settlement", "refuse": "deny"}


class Sandbox(Gateway):
    """Nobody's money: what is charged is paid when somebody presses the button."""

    name = SANDBOX

    def __init__(self, terms: Terms) -> None:
        self._server_key = terms.server_key

    async def charge(self, order: Row[Any], items: Sequence[Row[Any]]) -> Charge:
        qr_string = None
        if order.payment_method == "qris":
            qr_string = f"SANDBOX.{order.id}.{order.total_amount}"
        return Charge(f"{SANDBOX_PATH}{order.id}", f"sandbox-{order.id}", qr_string)

    async def look_up(self, order_id: str) -> Notification | None:
        return None  # it says everything by itself

    async def cancel(self, order_id: str) -> None:
        return

    async def refund(self, order_id: str, amount: int) -> None:
        return

    def notification(self, order: Row[Any], action: str) -> Notification:
        """Return what a real gateway would send when its customer has done this."""
        status_code = "200" if action == "pay" else "202"
        gross_amount = f"{order.total_amount}.00"
        return Notification(
            order_id=order.id,
            transaction_status=ACTIONS[action],
            transaction_id=f"sandbox-{order.id}",
            status_code=status_code,
            gross_amount=gross_amount,
            signature_key=signature_of(order.id, status_code, gross_amount, self._server_key),
            payment_type=order.payment_method,
        )


def sandbox_page(order: Row[Any], items: Sequence[Row[Any]]) -> str:
    """Return the page on which an order is paid or refused."""
    lines = "".join(
        f"<li>{item.quantity} × {escape(item.product_name)}: {item.total_price:,}</li>"
        for item in items
    )
    buttons = ""
    if order.status == "PENDING":
        buttons = "".join(
            f'<button formaction="?action={action}">{label}</button> '
            for action, label in (("pay", "Pay"), ("refuse", "Refuse"))
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox payment</title>'
        f"<h1>{escape(order.id)}</h1><ul>{lines}</ul>"
        f"<p>Total {order.total_amount:,} · {escape(order.status)}</p>"
        f'<form method="post">{buttons}</form></html>'
    )
