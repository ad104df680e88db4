"""Whether FeexPay can pay a refund out: the setting, the provider's route, the number and the smallest amount."""

from __future__ import annotations

from django.utils.translation import gettext as _

from django_feexpay.catalogue import money
from django_feexpay.catalogue.payout_routes import PAYOUT_ROUTES, PayoutRoute
from django_feexpay.conf import feexpay
from django_feexpay.models import Attempt
from django_feexpay.models.fields import msisdn_hashes, seal_msisdn
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.terms import msisdn_of


def is_offered(attempt: Attempt) -> bool:
    """Whether a refund of this attempt's charge can be paid out through FeexPay at all.

    If the number was erased, the payer must give it again: its keyed hash proves that it is the one that paid.
    """
    is_known = attempt.payment.provider_id in PAYOUT_ROUTES and bool(attempt.msisdn_sealed or attempt.msisdn_hash)
    return feexpay.payouts and is_known


def restore_number(attempt: Attempt, phone: str) -> None:
    """Store the erased number of an attempt again, as the payer gave it; it must be the number that paid.

    The purge keeps it while a refund by payout waits, and erases it afterwards.
    Changes: Attempt. Raises: NotAllowedError `validation_error`. Safe to repeat: yes.
    """
    msisdn = msisdn_of(phone, attempt.payment.provider.spec)
    if attempt.msisdn_hash not in msisdn_hashes(msisdn):
        raise invalid("phone", "other_number", _("This is not the number that paid. Nothing was proposed."))
    attempt.msisdn_sealed = seal_msisdn(msisdn)
    Attempt.objects.filter(pk=attempt.pk).update(msisdn_sealed=attempt.msisdn_sealed)


def check(attempt: Attempt, amount: int) -> PayoutRoute:
    """The route by which `amount` goes back to the payer of an attempt.

    Raises: NotAllowedError `payouts_off`, `no_payout_route`, `msisdn_erased`, `amount_too_low`.
    """
    payment_id, route = attempt.payment_id, PAYOUT_ROUTES.get(attempt.payment.provider_id)
    if not feexpay.payouts:
        raise NotAllowedError("payouts_off", _("Payouts are switched off."), payment_id=payment_id)
    if route is None:
        message = _("FeexPay has no payout to this provider. Pay the money back another way.")
        raise NotAllowedError("no_payout_route", message, payment_id=payment_id)
    if attempt.msisdn_sealed is None:
        message = _("The payer's number was erased. Ask the payer for it, or pay the money back another way.")
        raise NotAllowedError("msisdn_erased", message, payment_id=payment_id)
    if amount < route.least:
        message = _("FeexPay pays out at least %(least)s to this provider.") % {
            "least": money.show(route.least, attempt.payment.charged_currency)
        }
        raise NotAllowedError("amount_too_low", message, payment_id=payment_id)
    return route
