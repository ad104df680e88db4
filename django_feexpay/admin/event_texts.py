"""Texts for staff: the cause of a status change, and FeexPay's answer at that time.

Pages show the code beside its text, because logs name the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.lifecycle import Status
from django_feexpay.models import PaymentEvent
from django_feexpay.payments import review_facts

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from django_feexpay.models import Attempt

#: By `PaymentEvent.because`.
EVENT_TEXTS: Mapping[str, str | StrPromise] = {
    "started": _("the payment was started"),
    "retried": _("a new attempt was started"),
    "sent": _("the request is being sent to FeexPay"),
    "accepted": _("FeexPay accepted the request"),
    "page_opened": _("FeexPay gave a payment page"),
    "not_sent": _("the request was not sent; it will be sent again"),
    "no_page": _("FeexPay gave no payment page; it will be asked again"),
    "never_sent": _("the request could not be sent in time; the payer was not asked"),
    "outcome_unknown": _("FeexPay's answer was lost; the payment is searched for in its history"),
    "payment_named": _(
        "FeexPay answered with an error that names a payment; the payment is searched for in its history"
    ),
    "rate_limited": _("FeexPay's rate limit was reached; the payment is searched for in its history, not sent again"),
    "network_unavailable": _("FeexPay reports maintenance at the operator; the payment is searched for in its history"),
    "never_arrived": _("the request never reached FeexPay; the payer was not asked"),
    "payment_like_it_in_history": _("FeexPay's history has a similar payment that belongs to none of our attempts"),
    "named_by_webhook_only": _("a webhook names this payment, but FeexPay's history does not contain it"),
    "sender_died": _(
        "the process that sent it stopped before the answer; the payment is searched for in FeexPay's history"
    ),
    "found_in_history": _("found in FeexPay's history"),
    "not_found_in_history": _("not in FeexPay's history"),
    "gateway_silent": _("FeexPay could not be asked for 24 hours"),
    "confirmed": _("FeexPay confirms: paid"),
    "failed": _("FeexPay confirms: not paid"),
    "payer_did_not_answer": _("the payer did not answer in time"),
    "page_not_used": _("the payer did not pay on the page in time"),
    "alive_after_failure": _("FeexPay reported a failure before, and now reports the payment as pending"),
    "unknown_to_gateway": _("FeexPay does not know the reference it gave"),
    "unknown_word": _("FeexPay reports an unknown status"),
    "reference_mismatch": _("FeexPay's answer has another reference"),
    "reference_missing": _("FeexPay's answer has no reference"),
    "reference_conflict": _("another attempt has this reference already"),
    "echo_mismatch": _("FeexPay's answer is about another attempt"),
    "echo_missing": _("FeexPay's answer does not name this attempt"),
    "msisdn_mismatch": _("FeexPay's answer has another payer's number"),
    "amount_mismatch": _("FeexPay charged another amount"),
    "currency_mismatch": _("FeexPay charged in another currency"),
    "amount_missing": _("FeexPay's answer has no amount"),
    "credit_taken": _("closed by staff: the amount that FeexPay charged is credited"),
    "credit_price": _("closed by staff: the amount asked for is credited"),
    "not_paid": _("closed by staff: not paid"),
    "already_credited": _("already paid; not sent"),
    "provider_disabled": _("the provider was switched off; not sent"),
    "limits_changed": _("the limits were changed; not sent"),
    "msisdn_erased": _("the phone number was erased; not sent"),
    "misconfigured": _("FeexPay refuses our settings"),
    "invalid_api_key": _("FeexPay refuses our key"),
    "address_not_allowed": _("our IP address is not on FeexPay's list"),
    "unsafe_address": _("BASE_URL is not allowed in production"),
    "unknown_shop": _("FeexPay does not know our shop"),
    "unknown_path": _("FeexPay has no such address"),
    "forbidden": _("FeexPay does not allow this with our key"),
    "low_balance": _("FeexPay refused: not enough money, or a limit reached"),
    "payer_not_found": _("FeexPay refused: no mobile money account has this number"),
    "account_not_active": _("FeexPay refused: the payer's account is not active"),
    "payer_declined": _("FeexPay refused: the payer declined"),
    "amount_too_low": _("FeexPay refused: the amount is too low"),
    "operator_error": _("FeexPay refused: the operator reported an error"),
    "provider_not_activated": _("FeexPay refused: this provider is not active for our shop"),
    "provider_unavailable": _("FeexPay refused: this provider is not available"),
    "invalid_phone": _("FeexPay refused: the phone number is not valid"),
    "invalid_amount": _("FeexPay refused: the amount is not valid"),
    "invalid_request": _("FeexPay refused: the request is not valid"),
    "otp_rejected": _("FeexPay refused: the code is wrong or too old"),
}
_REFUSED = _("FeexPay refused it")

#: The entry point of an event or of an action, by its `source`, after the name of who acted.
ENTRY_POINTS: Mapping[str, str | StrPromise] = {
    PaymentEvent.Source.API: _("through the API"),
    PaymentEvent.Source.WORKER: _("by the worker"),
    PaymentEvent.Source.ADMIN: _("in the back office"),
    PaymentEvent.Source.HOST: _("by the shop's own code"),
    PaymentEvent.Source.COMMAND: _("by a command on the server"),
}


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
