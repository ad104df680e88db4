"""Actions of staff on payments: *Ask FeexPay now*, *Retry*, *Release the order* and *Write a note*.

They call the functions of `payments`, like the API.
"""

from __future__ import annotations

from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from django_feexpay.admin.confirm_action import ConfirmedAction, Outcome, Result, done_or_skipped
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Attempt, Payment, StaffAction
from django_feexpay.payments import order_release, reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import ask
from django_feexpay.payments.retry import retry
from django_feexpay.payments.review_facts import describe_report

_ANSWER_TIMEOUT_SECONDS = 5.0


def ask_gateway(payment: Payment, actor: str, note: str) -> Outcome:
    """Ask FeexPay about every attempt of a payment, and settle each by the answer."""
    asked = Attempt.objects.filter(payment=payment).exclude(status=Status.SENDING)
    attempts = list(asked.select_related("payment").order_by("ordinal"))
    if not attempts:
        return Outcome(Result.SKIPPED, _("It is being sent to FeexPay right now. Ask again in a minute."))
    try:
        reports = {
            attempt: ask(attempt.pk, source=Source.ADMIN, actor=actor, note=note, total_seconds=_ANSWER_TIMEOUT_SECONDS)
            for attempt in attempts
        }
    except NotAllowedError as refusal:  # autocommit is off
        return Outcome(Result.SKIPPED, refusal.message or refusal.code)
    statuses = dict(Attempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).values_list("pk", "status"))
    unchanged = []
    for attempt, report in reports.items():
        if report is None:
            return Outcome(Result.FAILED, _("FeexPay did not answer, or does not know it yet."))
        if statuses[attempt.pk] == attempt.status:
            texts = {"ordinal": attempt.ordinal, "answer": describe_report(attempt, report)}
            unchanged.append(_("Attempt %(ordinal)s is unchanged. %(answer)s") % texts)
    return Outcome(Result.DONE, " ".join(unchanged))


def retry_payment(payment: Payment, actor: str, note: str) -> Outcome:
    """Start a new attempt of a payment, if its earlier ones surely failed."""
    language = get_language() or "en"
    try:
        retried = retry(payment.pk, source=Source.ADMIN, actor=actor, note=note, language=language)
    except NotAllowedError as refusal:
        return Outcome(Result.SKIPPED, refusal.message or refusal.code)
    if retried.public_status is PublicStatus.FAILED:
        return Outcome(Result.FAILED, retried.attempt.reason_text or retried.attempt.reason_code)
    return Outcome(Result.DONE)


def _may_be_retried(payment: Payment) -> bool:
    """False for a payment that is paid or may still be paid."""
    return payment.status != Status.SUCCESSFUL and reviews.under_review(payment.pk) is None


RECONCILE = ConfirmedAction(
    name="reconcile",
    permission="feexpay.reconcile_payment",
    title=gettext_lazy("Ask FeexPay now"),
    explanation=gettext_lazy(
        "This asks FeexPay about every attempt and settles each by the answer. A payment that turns out to be paid is "
        "credited, once. Asking charges no one."
    ),
    run=ask_gateway,
    recorded_as=StaffAction.Action.RECONCILE,
    applies=lambda payment: True,
)
RETRY = ConfirmedAction(
    name="retry",
    permission="feexpay.retry_payment",
    title=gettext_lazy("Retry"),
    explanation=gettext_lazy(
        "This asks FeexPay about the earlier attempts first. If none of them was charged or can still be charged, the "
        "payer gets a new request on the same phone number."
    ),
    run=retry_payment,
    recorded_as=StaffAction.Action.RETRY,
    applies=_may_be_retried,
)
RELEASE = ConfirmedAction(
    name="release",
    permission="feexpay.release_order",
    title=gettext_lazy("Release the order"),
    explanation=gettext_lazy(
        "This asks FeexPay about every attempt. The same order may be paid again if none of them may still succeed and "
        "the money went back to the payer. Goods that were delivered stay delivered."
    ),
    run=done_or_skipped(order_release.release),
    skipped_as=StaffAction.Action.RELEASE_ORDER,
    applies=order_release.may_be_released,
    bulk=False,
)
NOTE = ConfirmedAction(
    name="note",
    permission="feexpay.note_payment",
    title=gettext_lazy("Write a note"),
    explanation=gettext_lazy("The note stays in the payment's timeline with your name. Nothing else changes."),
    run=lambda payment, actor, note: Outcome(Result.DONE),
    recorded_as=StaffAction.Action.NOTE,
    applies=lambda payment: True,
    reason_label=gettext_lazy("Note"),
    reason_help=gettext_lazy("Kept for ever: write no name and no phone number here."),
)
