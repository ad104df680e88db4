"""Charges that FeexPay made beside the one that was credited, under the same attempt: a page that was paid twice, a
push that it doubled.

FeexPay's history and its webhooks only tell that there may be one. It becomes an incident when FeexPay, asked about
that charge by its own reference, says that it was paid.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet

from django_feexpay import conf
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.reports import HistoryRow, StatusReport, Word, same_reference, spellings_of
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Incident, WebhookDelivery
from django_feexpay.payments import history_search, incidents

logger = logging.getLogger("django_feexpay.payments")

#: How many references that webhooks named are asked about in one look: anybody who knows an attempt's id may post them.
MOST_NAMED = 3


class Checked(StrEnum):
    """What came of asking about a charge."""

    SECOND_CHARGE = "second_charge"  # FeexPay confirms it; there is an incident
    NOT_CONFIRMED = "not_confirmed"  # it was not paid, or it is not this attempt's, or the attempt is not credited
    NO_ANSWER = "no_answer"


def look_for(attempt: Attempt, *, timeout_seconds: float) -> bool:
    """Look for charges beside the credited one: those that webhooks named, those in FeexPay's history. False if
    FeexPay did not answer every question.

    Changes: as `check`. Safe to repeat: yes.
    """
    answers = [check(attempt.pk, reference) for reference in named_by_webhooks(attempt)]
    try:
        rows, answered = history_search.charges(attempt, timeout_seconds=timeout_seconds)
    except GatewayError as error:
        logger.warning("no history for attempt %s: %s", attempt.pk, error.code)
        return False
    answers += [check(attempt.pk, str(row.report.reference), row) for row in rows]
    return answered and Checked.NO_ANSWER not in answers


def check(attempt_id: UUID, reference: str, row: HistoryRow | None = None) -> Checked:
    """Ask FeexPay about a charge that may be a second one of a credited attempt; confirmed, it is an incident.

    row: where it stands in FeexPay's history, which may know whose it is when its status does not say.
    Changes: Incident, OutboxMessage. Safe to repeat: yes; a charge that is an incident already is not asked about.
    """
    attempt = Attempt.objects.select_related("payment").get(pk=attempt_id)
    if not _may_be_second(attempt, reference):
        return Checked.NOT_CONFIRMED
    if _incidents_of(attempt).filter(gateway_reference__iexact=reference).exists():
        return Checked.SECOND_CHARGE
    try:
        report = conf.gateway().fetch_status(reference)
    except GatewayError as error:
        logger.warning("no news of a second charge of attempt %s: %s", attempt.pk, error.code)
        return Checked.NO_ANSWER
    if not _is_proof(attempt, reference, report, row):
        return Checked.NOT_CONFIRMED
    _report(attempt, reference, report, row)
    return Checked.SECOND_CHARGE


def named_by_webhooks(attempt: Attempt) -> list[str]:
    """References that webhooks named together with the id of this attempt, and that are not known yet; the newest."""
    deliveries = WebhookDelivery.objects.filter(attempt=attempt).exclude(gateway_reference="").order_by("-id")
    own = (attempt.gateway_reference or "").casefold()
    named: dict[str, str] = {}
    for reference in deliveries.values_list("gateway_reference", flat=True):
        if reference.casefold() != own:
            named.setdefault(reference.casefold(), reference)
    if not named:
        return []
    known = {reference.casefold() for reference in _incidents_of(attempt).values_list("gateway_reference", flat=True)}
    return [reference for folded, reference in named.items() if folded not in known][:MOST_NAMED]


def _incidents_of(attempt: Attempt) -> QuerySet[Incident]:
    return Incident.objects.filter(attempt=attempt, kind=Incident.Kind.DUPLICATE_CHARGE)


def _may_be_second(attempt: Attempt, reference: str) -> bool:
    """Whether an attempt is credited, by another charge than this one, which no attempt of ours holds."""
    if attempt.life_status is not Status.SUCCESSFUL or same_reference(reference, attempt.gateway_reference or ""):
        return False
    return not Attempt.objects.filter(gateway_reference__in=spellings_of(reference)).exists()


def _is_proof(attempt: Attempt, reference: str, report: StatusReport, row: HistoryRow | None) -> bool:
    """Whether FeexPay's answer says that this charge was paid and is the attempt's. A payment on a page is known by
    the id that only its history row bears.
    """
    if report.word is not Word.SUCCESSFUL or not same_reference(report.reference or "", reference):
        return False
    if report.echo is None:
        return row is not None and history_search.is_of(attempt, row)
    return report.echo == str(attempt.pk)


def _report(attempt: Attempt, reference: str, report: StatusReport, row: HistoryRow | None) -> None:
    amount = report.amount if report.amount is not None or row is None else row.report.amount
    charge = incidents.Charge(
        reference=reference,
        amount=amount,
        currency=attempt.payment.charged_currency,
        credited_reference=attempt.gateway_reference or "",
    )
    if incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, attempt, charge, conf.now()):
        logger.error("attempt %s was charged a second time, reference %s", attempt.pk, reference)
