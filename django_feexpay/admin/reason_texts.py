"""Why payments failed, in a few words for staff. `payments.failure_reasons` has the sentences for payers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

REASONS: Mapping[str, str | StrPromise] = {
    "low_balance": _("not enough money, or a limit reached"),
    "payer_not_found": _("the number has no mobile money"),
    "account_not_active": _("mobile money account not active"),
    "payer_declined": _("declined by the payer"),
    "amount_too_low": _("amount too low for the operator"),
    "expired": _("not confirmed in time"),
    "operator_error": _("error of the operator"),
    "network_unavailable": _("operator under maintenance"),
    "provider_not_activated": _("provider not active for the shop"),
    "provider_unavailable": _("provider not available"),
    "provider_disabled": _("provider switched off here"),
    "invalid_phone": _("number not accepted"),
    "invalid_amount": _("amount not accepted"),
    "invalid_request": _("request not accepted"),
    "otp_rejected": _("code not accepted"),
    "misconfigured": _("the shop is not set up correctly"),
    "limits_changed": _("limits changed before it was sent"),
    "already_credited": _("paid already"),
    "never_sent": _("FeexPay not reached in time"),
    "never_arrived": _("never reached FeexPay"),
    "not_paid": _("closed by staff as not paid"),
    "msisdn_erased": _("number erased before it was sent"),
    "unknown_reason": _("no reason given"),
}
