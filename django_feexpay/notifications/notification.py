"""One notification to a payer, and its words in the language that is active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.catalogue import money
from django_feexpay.models import Payment
from django_feexpay.payments.failure_reasons import failure_reason


class Kind(StrEnum):
    """What a notification is about."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUCCEEDED_LATE = "succeeded_late"
    REFUNDED = "refunded"


_TITLES: Mapping[Kind, Any] = {
    Kind.SUCCEEDED: gettext_lazy("Payment received"),
    Kind.FAILED: gettext_lazy("Payment not made"),
    Kind.SUCCEEDED_LATE: gettext_lazy("Payment received after all"),
    Kind.REFUNDED: gettext_lazy("Refund recorded"),
}

_MEANINGS: Mapping[Kind, Any] = {
    Kind.SUCCEEDED: gettext_lazy("We have received %(amount)s."),
    Kind.FAILED: gettext_lazy("Your payment of %(amount)s was not made."),
    Kind.SUCCEEDED_LATE: gettext_lazy(
        "This payment was shown as failed at first. It has been confirmed since: we have received %(amount)s."
    ),
    Kind.REFUNDED: gettext_lazy(
        "We have recorded a refund for your payment of %(amount)s. It may be for all or a part of it."
    ),
}
#: For a failed payment, it depends on whether it may still succeed.
_NEXT_STEPS: Mapping[Kind, Any] = {
    Kind.SUCCEEDED: gettext_lazy(
        "You have nothing more to do. Keep this message: it names the reference of your payment."
    ),
    Kind.SUCCEEDED_LATE: gettext_lazy(
        "Do not pay again. If you have paid a second time since then, contact us with this reference."
    ),
    Kind.REFUNDED: gettext_lazy("If the money has not reached you in a few days, contact us with this reference."),
}


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What to tell the payer. The texts are plain, in one line each, in the payer's language.

    `event_id` is the same each time this notification is sent.
    """

    kind: Kind
    payment: Payment
    event_id: UUID
    language: str

    @property
    def title(self) -> str:
        return str(_TITLES[self.kind])

    @property
    def subject(self) -> str:
        """The title, the amount and the reference. A refund shows no amount, because it may be only a part."""
        if self.kind is Kind.REFUNDED:
            return f"{self.title} ({self.reference})"
        return _("%(title)s: %(amount)s (%(reference)s)") % {
            "title": self.title,
            "amount": self.amount,
            "reference": self.reference,
        }

    @property
    def amount(self) -> str:
        """`5 000 F CFA` with no-break spaces: what was taken, or of a failed payment what was asked for."""
        payment = self.payment
        credit = getattr(payment, "credit", None)
        amount = payment.charged_amount if credit is None else credit.amount
        return money.show(amount, payment.charged_currency)

    @property
    def reference(self) -> str:
        """The merchant reference in one line; without one, the first eight characters of the payment's id."""
        return _one_line(self.payment.merchant_reference) or str(self.payment.pk)[:8]

    @property
    def meaning(self) -> str:
        """What happened, and what that means for the payer's money."""
        meaning = str(_MEANINGS[self.kind]) % {"amount": self.amount}
        if self.kind is Kind.FAILED:
            return f"{meaning} {failure_reason(self.payment.attempt)['message']}"
        return meaning

    @property
    def next_step(self) -> str:
        """What the payer does next."""
        return self._next_step_after_failure() if self.kind is Kind.FAILED else str(_NEXT_STEPS[self.kind])

    def _next_step_after_failure(self) -> str:
        if self.payment.paid_elsewhere:  # type: ignore[attr-defined]  # by for_reading()
            return _("Do not pay again: another payment of this order is under way or was received.")
        if self.payment.may_still_succeed:  # type: ignore[attr-defined]  # by for_reading()
            return _("If money has left your account, do not pay again: we will write to you when it arrives.")
        return _("You can pay again.")

    @property
    def text(self) -> str:
        """All of it in a few words, for an SMS."""
        return f"{self.subject}. {self.next_step}"

    @property
    def details(self) -> list[tuple[str, str]]:
        """The facts of the payment as pairs of a label and a value."""
        payment = self.payment
        rows = [
            (_("Amount of the payment") if self.kind is Kind.REFUNDED else _("Amount"), self.amount),
            (_("Reference"), _one_line(payment.merchant_reference)),
            (_("What for"), _one_line(payment.description)),
            (_("Payment method"), payment.provider.name_in(self.language)),
            (_("Phone"), payment.attempt.masked_msisdn.replace(" ", money.NO_BREAK_SPACE)),
            (_("Date"), _local_time(payment)),
            (_("Payment id"), str(payment.pk)),
        ]
        return [(label, value) for label, value in rows if value]


def _local_time(payment: Payment) -> str:
    """When the payment ended, in the project's time zone: `28 novembre 2026 à 14 h 05`."""
    at = timezone.localtime(payment.settled_at or payment.created_at)
    # Translators: a format of Django's `date` filter; a backslash precedes a letter that is printed as it is.
    return date_format(at, _("j F Y, H:i"))


def _one_line(text: str) -> str:
    """The text without line breaks and invisible characters: clients choose it, and it goes into a subject."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
