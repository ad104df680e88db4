"""The receipt of a payment as text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from feexpay_client.core import clock_times, money
from feexpay_client.core.i18n import Texts
from feexpay_client.core.models import PENDING, Payment

#: Rows that only the shop's support asks for.
_DETAILS = frozenset({"receipt.status", "receipt.reference", "receipt.payment"})


@dataclass(frozen=True, slots=True)
class Bought:
    """What the payment does not tell: the shop, the article and the name of the way to pay. Each may be empty."""

    shop: str = ""
    item: str = ""
    provider: str = ""


def lines(
    payment: Payment, texts: Texts, zone: tzinfo | None = None, bought: Bought | None = None
) -> list[tuple[str, str]]:
    """(label, value) pairs in display order, without unknown values. Times in `zone`, default local."""
    return [(texts(label), value) for label, value in _rows(payment, texts, zone, bought or Bought())]


def folded(
    payment: Payment, texts: Texts, zone: tzinfo | None = None, bought: Bought | None = None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The same pairs in two parts: what a payer reads, and the details for the shop's support."""
    rows = _rows(payment, texts, zone, bought or Bought())
    shown = [(texts(label), value) for label, value in rows if label not in _DETAILS]
    return shown, [(texts(label), value) for label, value in rows if label in _DETAILS]


def _rows(payment: Payment, texts: Texts, zone: tzinfo | None, bought: Bought) -> list[tuple[str, str]]:
    language = texts.language
    total = money.formatted(payment.charged_amount, payment.charged_currency, language)
    price = money.formatted(payment.amount, payment.currency, language)
    rows: list[tuple[str, str | None]] = [
        ("receipt.shop", bought.shop),
        ("receipt.item", bought.item),
        ("receipt.status", texts(f"status.{shown_status(payment)}")),
        ("receipt.amount", price),
        ("receipt.fee", _fee(payment, language)),
        ("receipt.total", total if total != price else None),
        ("receipt.provider", bought.provider or payment.provider_name),
        ("receipt.phone", payment.phone),
        ("receipt.date", moment(payment.settled_at or payment.created_at, texts, zone)),
        ("receipt.reference", payment.reference),
        ("receipt.payment", payment.id),
    ]
    return [(label, value) for label, value in rows if value]


def shown_status(payment: Payment) -> str:
    """The status to show: successful, failed, unconfirmed (may still be charged) or pending."""
    if payment.unconfirmed:
        return "unconfirmed"
    return payment.status if payment.settled else PENDING


def as_text(
    payment: Payment, texts: Texts, title: str, zone: tzinfo | None = None, bought: Bought | None = None
) -> str:
    """The receipt as plain text, ending with a line break."""
    rows = lines(payment, texts, zone, bought)
    width = max(len(label) for label, _ in rows)
    return "\n".join([title, "", *(f"{label:<{width}}  {value}" for label, value in rows), ""])


def moment(at: datetime, texts: Texts, zone: tzinfo | None = None) -> str:
    """`26 novembre 2026 à 14 h 05` or `26 November 2026, 14:05`, in the payer's time."""
    local = at.astimezone(zone)
    day = f"{local.day} {texts(f'month.{local.month}')} {local.year}"
    return texts("receipt.moment", day=day, time=clock_times.hour(local, texts.language))


def _fee(payment: Payment, language: str) -> str | None:
    return money.formatted(payment.fee_on_top, payment.currency, language) if payment.fee_on_top else None
