"""What staff may repeat: the delivery of a signal to the shop, and the processing of a webhook."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from django_feexpay.admin.confirm_action import ConfirmedAction, Outcome, Result
from django_feexpay.models import OutboxMessage, StaffAction, WebhookDelivery
from django_feexpay.payments import outbox, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source


def send_again(message: OutboxMessage, actor: str, reason: str) -> Outcome:
    """Deliver a signal once more."""
    try:
        outbox.send_again(message.pk, reason=reason, actor=actor, source=Source.ADMIN)
    except NotAllowedError as refusal:
        return Outcome(Result.SKIPPED, refusal.message)
    return Outcome(Result.DONE)


def process_again(delivery: WebhookDelivery, actor: str, reason: str) -> Outcome:
    """Ask FeexPay about the attempt of a delivery."""
    try:
        webhook_hints.process_again(delivery.pk, reason=reason, actor=actor, source=Source.ADMIN)
    except NotAllowedError as refusal:
        return Outcome(Result.SKIPPED, refusal.message)
    return Outcome(Result.DONE)


SEND_AGAIN = ConfirmedAction(
    name="send_again",
    permission="feexpay.resend_signal",
    title=gettext_lazy("Send the signal again"),
    explanation=gettext_lazy(
        "Every receiver in the shop is called once more with the same event id. A receiver that handled this id does "
        "nothing. The payer gets no second message."
    ),
    run=send_again,
    skipped_as=StaffAction.Action.RESEND_SIGNAL,
    applies=lambda message: True,
)
PROCESS_AGAIN = ConfirmedAction(
    name="process_again",
    permission="feexpay.reprocess_delivery",
    title=gettext_lazy("Process again"),
    explanation=gettext_lazy(
        "FeexPay is asked about the attempt or the payout that this webhook names. What the webhook says is not "
        "believed."
    ),
    run=process_again,
    skipped_as=StaffAction.Action.REDELIVER,
    applies=lambda delivery: bool(delivery.payment_id or delivery.gateway_reference),
)
