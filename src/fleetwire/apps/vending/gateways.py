"""Gateway: who takes the customer's money."""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha512
from typing import Any, Final

from sqlalchemy import Row

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
