"""Texts for staff: why a status changed, and what FeexPay had answered.

Pages show the code beside its text, because logs name the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.lifecycle import Status
from django_feexpay.payments import review_facts

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from django_feexpay.models import Attempt, PaymentEvent

#: By `PaymentEvent.because`.
EVENT_TEXTS: Mapping[str, str | StrPromise] = {
    "started": _("the payment was started"),
    "retried": _("a new attempt was started"),
    "sent": _("the request is on its way to FeexPay"),
    "accepted": _("FeexPay took the request"),
    "page_opened": _("FeexPay gave a page to pay on"),
    "not_sent": _("the request surely did not leave; it is sent again"),
    "no_page": _("no page came; it is asked for again"),
    "never_sent": _("it could not be sent in time; nobody was asked"),
    "outcome_unknown": _("FeexPay's answer was lost; its history is searched"),
    "payment_named": _("FeexPay answered with an error that names a payment; its history is searched"),
    "rate_limited": _("FeexPay asked to slow down; its history is searched, nothing is sent again"),
    "network_unavailable": _("FeexPay says that the operator is in maintenance; its history is searched"),
    "never_arrived": _("the request never reached FeexPay; nobody was asked"),
    "payment_like_it_in_history": _("FeexPay's history holds a payment like it that belongs to no attempt of ours"),
    "named_by_webhook_only": _("a webhook names it, and FeexPay's history lacks it"),
    "sender_died": _("whoever sent it died on the way; FeexPay's history is searched"),
    "found_in_history": _("found in FeexPay's history"),
    "not_found_in_history": _("not in FeexPay's history"),
    "gateway_silent": _("FeexPay could not be asked for a day"),
    "confirmed": _("FeexPay confirms: paid"),
    "failed": _("FeexPay confirms: not paid"),
    "payer_did_not_answer": _("the payer did not answer in time"),
    "page_not_used": _("nobody paid on the page in time"),
    "alive_after_failure": _("FeexPay had called it failed, and now calls it open"),
    "unknown_to_gateway": _("FeexPay does not know its own reference"),
    "unknown_word": _("FeexPay says a status that is not known"),
    "reference_mismatch": _("FeexPay's answer names another reference"),
    "reference_missing": _("FeexPay's answer names no reference"),
    "reference_conflict": _("another attempt has this reference already"),
    "echo_mismatch": _("FeexPay's answer is about another attempt"),
    "echo_missing": _("FeexPay's answer does not name our attempt"),
    "msisdn_mismatch": _("FeexPay's answer names another payer's number"),
    "amount_mismatch": _("FeexPay took another amount"),
    "currency_mismatch": _("FeexPay took another currency"),
    "amount_missing": _("FeexPay's answer names no amount"),
    "credit_taken": _("closed by a person: what FeexPay took is credited"),
    "credit_price": _("closed by a person: what was asked for is credited"),
    "not_paid": _("closed by a person: not paid"),
    "already_credited": _("paid meanwhile; not sent"),
    "provider_disabled": _("this way to pay was switched off; not sent"),
    "limits_changed": _("the limits were changed; not sent"),
    "msisdn_erased": _("the number was erased; not sent"),
    "misconfigured": _("FeexPay refuses our settings"),
    "invalid_api_key": _("FeexPay refuses our key"),
    "address_not_allowed": _("our address is not on FeexPay's list"),
    "unsafe_address": _("BASE_URL is no address for production"),
    "unknown_shop": _("FeexPay does not know our shop"),
    "unknown_path": _("FeexPay has no such path"),
    "forbidden": _("FeexPay forbids this to our key"),
}
_REFUSED = _("FeexPay refused it")


def event_text(event: PaymentEvent) -> str:
    """Why the status changed; "" for a code of another release."""
    text = EVENT_TEXTS.get(event.because)
    if text is None and event.to_status == Status.REJECTED:
        text = _REFUSED
    return str(text or "")


def answer_text(attempt: Attempt, event: PaymentEvent) -> str:
    """The answer of FeexPay that changed the status, with its amounts; "" if the event keeps none."""
    word = event.evidence.get("word")
    if word not in list(Word) or word == Word.UNKNOWN:  # only the log names an unknown status
        return ""
    report = StatusReport(
        word=Word(word), reference=event.evidence.get("reference"), amount=event.evidence.get("amount")
    )
    return review_facts.describe_report(attempt, report, history_complete=event.evidence.get("history_complete"))
