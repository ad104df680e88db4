"""What a list says when it has no rows: what will appear here, and what to do for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_ANY: StrPromise = _("No rows yet. They appear here by themselves.")

#: By the model's name.
_WORDS: Mapping[str, StrPromise] = {
    "payment": _("No payments yet. Each payment appears here as soon as a payer starts it in your shop."),
    "attempt": _("No attempts yet. The first appears with the first payment."),
    "checkout": _("No payment was started at the web checkout. Make its addresses with checkout_url()."),
    "paymentevent": _("No status has changed yet. The first change appears with the first payment."),
    "credit": _("Nothing was credited yet. A payment appears here when FeexPay confirms that it is paid."),
    "webhookdelivery": _(
        "No webhook was received yet. Enter this server's webhook address in FeexPay's dashboard; feexpay_doctor "
        "checks it."
    ),
    "outboxmessage": _("No signal was sent to the shop yet. The first follows the first payment that ends."),
    "idempotencyrecord": _("No idempotency key was used yet. Your shop sends them in the header Idempotency-Key."),
    "heartbeat": _("No background process has run yet. Start feexpay_worker: without it no payment is checked."),
    "dailytotal": _("No day was counted yet. Start feexpay_worker, or run feexpay_totals once."),
    "incident": _("No incidents. A double charge or a payment that FeexPay took back appears here; nothing to do now."),
    "refund": _("No refunds yet. Open a payment or an incident and choose “Record a refund”."),
    "payout": _("No payouts. A refund that FeexPay pays out appears here, if payouts are switched on."),
    "comparison": _(
        "Nothing was compared yet. Start feexpay_worker, which compares each night, or run feexpay_reconcile."
    ),
    "discrepancy": _("No differences from FeexPay's history. Nothing to do."),
    "finding": _("No comparison has found a difference yet. Nothing to do."),
    "promptlift": _("No limit was lifted. When a payer was asked too often, choose “Lift the prompt limit”."),
    "reviewproposal": _("No decisions were proposed. Large reviews wait here for a second person."),
    "staffaction": _("Staff did nothing yet. Each export, look-up, note and decision appears here with its author."),
    "purge": _("Nothing was purged yet. Start feexpay_worker, which purges each night, or run feexpay_purge."),
    "erasure": _("No person asked to be erased yet. feexpay_erase_subject erases one."),
    "provider": _("No providers yet. Run manage.py migrate: it adds them."),
}


def words_for(model_name: str) -> str:
    """The words for the empty list of a model."""
    return str(_WORDS.get(model_name, _ANY))
