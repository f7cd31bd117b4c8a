"""Sandbox: a gateway that is built in, with a page to pay or refuse; for development and tests."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from sqlalchemy import Row

from fleetwire.apps.vending.gateways import Charge, Gateway, Notification, signature_of
from fleetwire.apps.vending.terms import SANDBOX, Terms

PATH: Final = "/api/payments/sandbox/"
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
        return Charge(f"{PATH}{order.id}", f"sandbox-{order.id}", qr_string)

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


def page(order: Row[Any], items: Sequence[Row[Any]]) -> str:
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
