"""What a host sells: the amount and the words on the screens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feexpay_client.core.models import Payment
from feexpay_client.core.states import Draft


@dataclass(frozen=True, slots=True)
class Purchase:
    """`amount` in the currency's minor unit (francs have none). `metadata` goes to the server, which knows what to
    credit.
    """

    amount: int
    currency: str
    title: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    description: str = ""

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("amount: positive, in the currency's minor unit")

    def draft(self, provider: str, phone: str = "", otp: str = "") -> Draft:
        return Draft(provider, self.amount, self.currency, phone, otp, self.metadata, self.description)

    def is_paid_by(self, payment: Payment | Draft) -> bool:
        """Whether a payment, or the form that is being sent, is for this purchase, as far as its contents can tell."""
        return (self.amount, self.currency, dict(self.metadata)) == (
            payment.amount,
            payment.currency,
            dict(payment.metadata),
        )
