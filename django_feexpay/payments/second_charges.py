"""Second charges of a credited attempt: a page paid twice, a prompt sent twice.

The history and webhooks only give a cause to ask. An incident is opened when FeexPay's status of that charge, asked by
its own reference, says that it was paid.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet

from django_feexpay import conf, log_context
from django_feexpay.catalogue.outcomes import Word, same_reference, spellings_of
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import HistoryRow, StatusReport
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Incident, WebhookDelivery
from django_feexpay.payments import history_search, incidents

logger = logging.getLogger("django_feexpay.payments")

#: At most this many references from webhooks are checked in one poll: a forged webhook may name any number.
MAX_NAMED = 3


class Checked(StrEnum):
    """The result of asking FeexPay about a charge."""

    SECOND_CHARGE = "second_charge"  # FeexPay confirms it, an incident is open
    NOT_CONFIRMED = "not_confirmed"  # not paid, not this attempt's, or the attempt is not credited
    NO_ANSWER = "no_answer"


def check_all(attempt: Attempt, *, timeout_seconds: float) -> bool:
    """Check the other charges of an attempt that webhooks or the history name.

    Returns False if FeexPay did not answer every question.
    Changes: as `check`. Safe to repeat: yes.
    """
    answers = [check(attempt.pk, reference) for reference in named_by_webhooks(attempt)]
    try:
        rows, answered = history_search.paid_rows(attempt, timeout_seconds=timeout_seconds)
    except GatewayError as error:
        logger.warning("FeexPay did not answer with the history of attempt %s: %s", attempt.pk, error.code)
        return False
    answers += [check(attempt.pk, str(row.report.reference), row) for row in rows]
    return answered and Checked.NO_ANSWER not in answers


@log_context.step()
def check(attempt_id: UUID, reference: str, row: HistoryRow | None = None) -> Checked:
    """Ask FeexPay whether a charge is a second one; if it is, open an incident.

    row: the charge in FeexPay's history, which may echo our id where the status does not.
    Changes: Incident, OutboxMessage. Safe to repeat: yes; a charge that has an incident is not asked about again.
    """
    attempt = Attempt.objects.select_related("payment").get(pk=attempt_id)
    log_context.bind_attempt(attempt)
    if not _may_be_second(attempt, reference):
        return Checked.NOT_CONFIRMED
    if _incidents_of(attempt).filter(gateway_reference__iexact=reference).exists():
        return Checked.SECOND_CHARGE
    try:
        report = conf.gateway().fetch_status(reference)
    except GatewayError as error:
        logger.warning("FeexPay did not answer about a second charge of attempt %s: %s", attempt.pk, error.code)
        return Checked.NO_ANSWER
    if not _is_proof(attempt, reference, report, row):
        return Checked.NOT_CONFIRMED
    charge = incidents.Charge(
        reference=reference,
        amount=report.amount if report.amount is not None or row is None else row.report.amount,
        currency=attempt.payment.charged_currency,
        credited_reference=attempt.gateway_reference or "",
    )
    if incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, attempt, charge, conf.now()):
        logger.error("attempt %s was charged a second time, reference %s", attempt.pk, reference)
    return Checked.SECOND_CHARGE


def named_by_webhooks(attempt: Attempt) -> list[str]:
    """The newest other references in webhooks about this attempt, without those that have an incident."""
    deliveries = WebhookDelivery.objects.filter(attempt=attempt).exclude(gateway_reference="").order_by("-id")
    own = (attempt.gateway_reference or "").casefold()
    named: dict[str, str] = {}
    for reference in deliveries.values_list("gateway_reference", flat=True):
        if reference.casefold() != own:
            named.setdefault(reference.casefold(), reference)
    if not named:
        return []
    known = {reference.casefold() for reference in _incidents_of(attempt).values_list("gateway_reference", flat=True)}
    return [reference for folded, reference in named.items() if folded not in known][:MAX_NAMED]


def _incidents_of(attempt: Attempt) -> QuerySet[Incident]:
    return Incident.objects.filter(attempt=attempt, kind=Incident.Kind.DUPLICATE_CHARGE)


def _may_be_second(attempt: Attempt, reference: str) -> bool:
    """Whether the attempt is credited for another charge, and this one is unclaimed."""
    if attempt.life_status is not Status.SUCCESSFUL or same_reference(reference, attempt.gateway_reference or ""):
        return False
    return not Attempt.objects.filter(gateway_reference__in=spellings_of(reference)).exists()


def _is_proof(attempt: Attempt, reference: str, report: StatusReport, row: HistoryRow | None) -> bool:
    """Whether the report says that this charge was paid and belongs to the attempt.

    For a payment page only the history row carries the attempt's id.
    """
    if report.word is not Word.SUCCESSFUL or not same_reference(report.reference or "", reference):
        return False
    if report.echo is None:
        return row is not None and history_search.belongs_to(row, attempt)
    return report.echo == str(attempt.pk)
