"""Which page shows a payment, and what it says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.checkout import own_number, prices
from django_feexpay.checkout.addresses import way_back
from django_feexpay.checkout.opened import Opened
from django_feexpay.checkout.ways import Way
from django_feexpay.lifecycle import Detail, PublicStatus, Status
from django_feexpay.models import Payment
from django_feexpay.payments.failure_reasons import failure_reason
from django_feexpay.payments.payer_options import can_retry, next_poll_seconds
from django_feexpay.payments.terms import Quote

#: A failed payment that may still succeed is read again after this time.
_LATE_POLL_SECONDS = 30

_TEMPLATES = {
    Detail.QUEUED: "waiting",
    Detail.WAITING_FOR_PAYER: "waiting",
    Detail.OTP_REQUIRED: "code",
    Detail.REDIRECT: "operator",
    Detail.CHECKING: "checking",
    Detail.UNDER_REVIEW: "checking",
    Detail.CREDITED: "receipt",
    Detail.REFUSED: "failure",
    Detail.DECLINED: "failure",
    Detail.EXPIRED: "failure",
}


class State(TypedDict):
    """What the script reads. `tag` changes whenever the page would show something else."""

    tag: str
    status: str
    next_poll_seconds: int | None


def state_of(payment: Payment) -> State:
    """The state of a payment from `for_reading`, for the script and for event streams."""
    may_be_retried = can_retry(payment)
    shown = (payment.updated_at, payment.detail.value, payment.latest_attempt_id, may_be_retried, get_language())
    unsure: bool = payment.may_still_succeed  # type: ignore[attr-defined]  # by for_reading()
    is_late = payment.public_status is PublicStatus.FAILED and unsure
    return State(
        tag=hashlib.sha256(repr(shown).encode()).hexdigest()[:16],
        status=payment.public_status.value,
        next_poll_seconds=_LATE_POLL_SECONDS if is_late else next_poll_seconds(payment),
    )


@dataclass(frozen=True)
class Screen:
    """A payment as its payer sees it."""

    opened: Opened
    request: HttpRequest

    @property
    def payment(self) -> Payment:
        return self.opened.shown

    @property
    def name(self) -> str:
        """The template that shows it."""
        return "waiting" if self.is_being_sent else _TEMPLATES[self.payment.detail]

    @property
    def is_being_sent(self) -> bool:
        """Whether FeexPay has not answered yet, and no answer is late."""
        return self.payment.status in (Status.CREATED, Status.SENDING)

    @property
    def detail(self) -> str:
        return self.payment.detail.value

    @property
    def way(self) -> Way:
        payment = self.payment
        total = Quote(
            amount=payment.amount,
            currency=payment.currency,
            charged_amount=payment.charged_amount,
            charged_currency=payment.charged_currency,
            exchange_rate=payment.exchange_rate,
            fee=payment.fee,
        )
        return Way(payment.provider, payment.provider.spec, total, "")

    @property
    def charged(self) -> str:
        return prices.shown(self.payment.charged_amount, self.payment.charged_currency)

    @property
    def is_converted(self) -> bool:
        return self.payment.exchange_rate is not None

    @property
    def reason(self) -> str:
        """Why it failed, and what to do."""
        return failure_reason(self.payment.attempt)["message"]

    @property
    def is_expired(self) -> bool:
        """Whether it failed only because its time is over, so that it may still be paid."""
        return self.payment.detail is Detail.EXPIRED and not self.can_retry

    @property
    def can_retry(self) -> bool:
        return can_retry(self.payment) and not self.opened.intent.has_ended

    @property
    def can_start_another(self) -> bool:
        return self.opened.may_start_another

    @property
    def came_late(self) -> bool:
        """Whether it was paid after the payer had read that it failed."""
        if self.payment.public_status is not PublicStatus.SUCCESSFUL:
            return False
        return self.payment.credit.event.from_status in (Status.EXPIRED, Status.FAILED, Status.REJECTED)

    @property
    def number(self) -> str:
        """The payer's number: in full in the browser that typed it, else masked."""
        return own_number.shown(self.request, self.payment.attempt.masked_msisdn)

    @property
    def seconds_left(self) -> int:
        """How many seconds the payer still has to confirm."""
        left = (self.payment.attempt.expires_at - conf.now()).total_seconds()
        return max(0, round(left))

    @property
    def seconds_in_all(self) -> int:
        attempt = self.payment.attempt
        return max(1, round((attempt.expires_at - (attempt.sent_at or attempt.created_at)).total_seconds()))

    @property
    def percent_left(self) -> int:
        return min(100, round(100 * self.seconds_left / self.seconds_in_all))

    @property
    def time_left(self) -> str:
        """`14:05`: minutes and seconds."""
        minutes, seconds = divmod(self.seconds_left, 60)
        return f"{minutes}:{seconds:02d}"

    @property
    def ends_at(self) -> str:
        return formats.date_format(_local(self.payment.attempt.expires_at), _("H:i"))

    @property
    def paid_at(self) -> str:
        return formats.date_format(_local(self.payment.settled_at or self.payment.updated_at), _("j F Y, H:i"))

    @property
    def poll_seconds(self) -> int | None:
        """When to read it again; None: never."""
        return state_of(self.payment)["next_poll_seconds"]

    @property
    def refresh_seconds(self) -> int | None:
        """The same for a page without JavaScript; never while the payer is typing a code."""
        return None if self.payment.detail is Detail.OTP_REQUIRED else self.poll_seconds

    @property
    def tag(self) -> str:
        return state_of(self.payment)["tag"]

    @property
    def return_address(self) -> str:
        return way_back(self.opened.intent.return_url, self.payment, self.request)

    @property
    def cancel_address(self) -> str:
        return way_back(self.opened.intent.cancel_url or self.opened.intent.return_url, self.payment, self.request)


def _local(at: datetime) -> datetime:
    return timezone.localtime(at) if timezone.is_aware(at) else at
