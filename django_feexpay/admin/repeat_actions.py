"""What staff may repeat: the delivery of a signal to the shop, and the processing of a webhook."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from django_feexpay.admin.confirm_action import ConfirmedAction, done_or_skipped
from django_feexpay.models import StaffAction
from django_feexpay.payments import outbox, webhook_hints

SEND_AGAIN = ConfirmedAction(
    name="send_again",
    permission="feexpay.resend_signal",
    title=gettext_lazy("Send the signal again"),
    explanation=gettext_lazy(
        "Every receiver in the shop is called once more with the same event id. A receiver that handled this id does "
        "nothing. The payer gets no second message."
    ),
    run=done_or_skipped(outbox.send_again),
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
    run=done_or_skipped(webhook_hints.process_again),
    skipped_as=StaffAction.Action.REDELIVER,
    applies=lambda delivery: bool(delivery.payment_id or delivery.gateway_reference),
)
