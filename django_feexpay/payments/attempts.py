"""Attempts before they are sent: build them, lock against double taps, ask about earlier attempts."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from django_feexpay import crypto
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import ProviderSpec
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import RefusedError
from django_feexpay.gateway.request_bodies import CollectRequest
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.fields import Sealed, hash_msisdn, seal_msisdn
from django_feexpay.payments import advisory_locks, leases
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile

logger = logging.getLogger("django_feexpay.payments")

#: How long one start or retry may ask FeexPay about all earlier attempts together. A web thread waits for the answers.
ASK_SECONDS = 5.0
#: With less time left than this, FeexPay is not asked.
SHORTEST_QUESTION_SECONDS = 0.2
_RETRY_AFTER_SECONDS = 30


@dataclass(frozen=True, kw_only=True, repr=False)
class PayerDetails:
    """The payer's details besides the msisdn: encrypted until FeexPay has them, then erased."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    otp: str = ""

    def sealed(self) -> Sealed | None:
        given = {name: value for name, value in vars(self).items() if value}
        return Sealed.of(given) if given else None


# --- building ----------------------------------------------------------------------------------------


def is_queued(spec: ProviderSpec) -> bool:
    """Whether the worker sends. A synchronous provider may answer after minutes, too long for a web process."""
    return spec.synchronous or feexpay.dispatch == "queue"


def expiry_of(spec: ProviderSpec) -> timedelta:
    """How long the payer of this provider has to confirm.

    PUSH_EXPIRY_SECONDS may shorten it where the payer approves a prompt, so that a mistyped number blocks a payer for
    minutes only. It is never shorter than the lifetime of the prompt: after the expiry a payer may start another
    payment, and a prompt that is still open could be approved as well.
    """
    wanted = feexpay.push_expiry.get(spec.code) if spec.flow == "push" else None
    if wanted is None:
        return feexpay.expiry
    return min(feexpay.expiry, max(wanted, timedelta(seconds=spec.prompt_seconds)))


def new_attempt(
    payment: Payment,
    ordinal: int,
    msisdn: Msisdn | None,
    details: PayerDetails,
    urls: tuple[str, str],
    *,
    queued: bool,
    now: datetime,
) -> Attempt:
    """Build an unsaved attempt: leased if this process sends it, due now if the worker sends it.

    msisdn: None for a card. urls: where the payer returns to, after paying and after cancelling.
    """
    return Attempt(
        payment=payment,
        ordinal=ordinal,
        amount=payment.charged_amount,
        masked_msisdn=msisdn.masked if msisdn else "",
        msisdn_hash=hash_msisdn(msisdn),
        msisdn_sealed=seal_msisdn(msisdn),
        payer_sealed=details.sealed(),
        return_url=urls[0],
        cancel_url=urls[1],
        sent_at=None if queued else now,
        expires_at=now + expiry_of(payment.provider.spec),
        next_poll_at=now if queued else now + leases.LEASE,
        created_at=now,
        updated_at=now,
    )


def collect_request(attempt: Attempt, **more: str) -> CollectRequest:
    """Build the collect request of an attempt. `more` replaces stored details of the payer.

    Raises: RefusedError `msisdn_erased`.
    """
    payment = attempt.payment
    msisdn, details = unsealed(attempt.msisdn_sealed), unsealed(attempt.payer_sealed) | more
    if not msisdn:
        raise RefusedError("the number was erased before it was sent", code="msisdn_erased")
    return CollectRequest(
        provider=payment.provider.spec,
        msisdn=Msisdn(**msisdn),
        amount=attempt.amount,
        attempt_id=str(attempt.pk),
        description=payment.description,
        return_url=attempt.return_url,
        cancel_url=attempt.cancel_url,
        **details,
    )


def unsealed(sealed: Sealed | None) -> dict[str, str]:
    """Decrypt. Empty if the strings were erased, or if their key was removed, which is logged for staff."""
    try:
        return sealed.open() if sealed else {}
    except crypto.UnreadableError as error:
        logger.error("an attempt cannot be sent: %s", error)
        return {}


# --- locks and refusals ------------------------------------------------------------------------------


def lock_user(user_id: object) -> None:
    """Lock the user until the transaction ends, so that the second of two taps finds the first one's payment."""
    advisory_locks.lock(advisory_locks.USER, [advisory_locks.number_of(str(user_id))])


def refuse_duplicates(duplicates: QuerySet[Payment]) -> None:
    """Raise NotAllowedError `duplicate_payment` naming the newest of these payments, if there is one."""
    duplicate = duplicates.order_by("-created_at").values_list("pk", flat=True).first()
    if duplicate is not None:
        message = _("This is being paid or is paid already. Do not pay a second time.")
        raise NotAllowedError("duplicate_payment", message, payment_id=duplicate)


def is_credited(payment: Payment) -> bool:
    """Whether the payment, or another payment of its order, is paid. Then its payer must not be asked again."""
    if payment.status == Status.SUCCESSFUL:
        return True
    return other_payments_of_order(payment).filter(status=Status.SUCCESSFUL).exists()


def other_payments_of_order(payment: Payment) -> QuerySet[Payment]:
    """The other open and paid payments of a payment's order; none if it has no merchant reference."""
    if not payment.merchant_reference:
        return Payment.objects.none()
    return Payment.objects.of_order(payment.user_id, payment.merchant_reference).exclude(pk=payment.pk)


def ask_about_refusals(user: Any, merchant_reference: str, *, source: Source, excluding: UUID | None = None) -> bool:
    """Ask FeexPay about the doubtful refusals of an order, which may hide a charge; False if an answer is missing.

    `excluding`: a payment to leave out.
    Changes: as `reconcile`. Safe to repeat: yes.
    """
    if not merchant_reference:
        return True
    refused = doubtful_refusals(user, merchant_reference).exclude(payment=excluding)
    give_up_at = time.monotonic() + ASK_SECONDS
    for pk in refused.values_list("pk", flat=True):
        left = give_up_at - time.monotonic()
        if left < SHORTEST_QUESTION_SECONDS or not reconcile(pk, source=source, total_seconds=left / 2):
            return False
    return True


def doubtful_refusals(user: Any, merchant_reference: str) -> QuerySet[Attempt]:
    """The doubtful refusals of an order, about which FeexPay can still be asked."""
    of_order = Attempt.objects.filter(payment__user=user, payment__merchant_reference=merchant_reference)
    refused = of_order.filter(status=Status.REJECTED, reason_code__in=sorted(DOUBTFUL_REFUSALS))
    return refused.filter(next_poll_at__isnull=False)


def cannot_ask(payment_id: UUID | None = None) -> NotAllowedError:
    """The refusal for when FeexPay did not answer about an earlier attempt that may have been charged."""
    message = _("FeexPay could not be asked about the earlier attempt. Please try again soon.")
    return NotAllowedError(
        "gateway_unavailable", message, payment_id=payment_id, retry_after_seconds=_RETRY_AFTER_SECONDS
    )
