"""Why a payment failed, in words for the payer. The HTTP API and the notifications use the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue.outcomes import UNKNOWN_REASON
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt

#: For the payer: why the payment failed, and what to do next.
REASONS: Mapping[str, Any] = {
    "low_balance": _("There was not enough money, or a limit was reached. Top up or use another number."),
    "payer_not_found": _("This number has no mobile money account. Check it or use another one."),
    "account_not_active": _("This mobile money account is not active. Ask your operator or use another number."),
    "payer_declined": _("The payment was declined. Nothing was taken."),
    "amount_too_low": _("The amount is below what this operator takes."),
    "expired": _(
        "The payment was not confirmed in time. If money was taken after all, it will be credited automatically."
    ),
    "operator_error": _(
        "The operator could not process the payment. Please try again later. "
        "If money was taken after all, it will be credited automatically."
    ),
    "network_unavailable": _("This operator is under maintenance. Please try again later or choose another."),
    "provider_not_activated": _("This way to pay is not active for this shop. Please choose another."),
    "provider_unavailable": _("This way to pay is not available. Please choose another."),
    "provider_disabled": _("This way to pay was just switched off. Please choose another."),
    "invalid_phone": _("The operator did not accept this number. Check it or use another one."),
    "invalid_amount": _("The operator did not accept this amount."),
    "invalid_request": _("The operator did not accept the payment. Nothing was taken."),
    "otp_rejected": _("The code was not accepted. Ask for a new one and try again."),
    "misconfigured": _("This shop's payments are not set up correctly. Nothing was taken; the shop has been notified."),
    "limits_changed": _("The limits of this way to pay were just changed, and the amount is outside them now."),
    "already_credited": _("This was paid already. Nothing was taken a second time."),
    "never_sent": _("FeexPay could not be reached in time. Nothing was taken; please try again."),
    "never_arrived": _("Your payment never reached FeexPay. Nothing was taken; you can pay again."),
    "not_paid": _("The shop checked this payment with the operator: nothing was taken. You can pay again."),
    "msisdn_erased": _("We no longer have this number. Please enter it again."),
}
_ANY_REASON = _("The payment did not go through. If money was taken after all, it will be credited automatically.")
#: Problems of the shop's account at FeexPay: the payer reads only `misconfigured`.
_SHOP_REASONS = frozenset(
    ("invalid_api_key", "unknown_shop", "unsafe_address", "address_not_allowed", "unknown_path", "forbidden")
)


def failure_reason(attempt: Attempt) -> dict[str, str]:
    """The code of a failed attempt's reason, for programs, and its message in the active language."""
    code = attempt.reason_code or ("expired" if attempt.status == Status.EXPIRED else UNKNOWN_REASON)
    if code in _SHOP_REASONS:
        code = "misconfigured"
    return {"code": code, "message": str(REASONS.get(code, _ANY_REASON))}
