"""Everything that is known of one payment, as its page shows it: a fixed number of statements, bounded rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from django_feexpay.admin import acts, causes, display, search
from django_feexpay.models import Attempt, Credit, Incident, Payment, PaymentEvent, WebhookDelivery
from django_feexpay.payments.lifecycle import Status

#: Rows of one section. A sender of webhooks must not be able to make this page endless.
MOST_ROWS = 100


def sections(payment: Payment, request: HttpRequest) -> dict[str, Any]:
    """The template's words for one payment. Who may view the payment may view all of this."""
    return {
        "acts": [
            {"title": act.title, "url": acts.address(act, [payment.pk])}
            for act in acts.ACTS
            if acts.may(request, act) and not (act is acts.RETRY and payment.status == Status.SUCCESSFUL)
        ],
        "status": display.status_badge(payment.status),
        "amount": display.amount(payment.amount, payment.currency),
        "same_payer_url": search.same_payer_list(payment.attempt.pk) if payment.attempt.msisdn_hash else "",
        "attempts": _attempts(payment),
        "events": _events(payment),
        "deliveries": _deliveries(payment),
        "credit": _credit(payment),
        "outbox": _newest(payment.outbox.order_by("-id")),
        "incidents": _incidents(payment),
        "most_rows": MOST_ROWS,
    }


def _newest(rows: QuerySet[Any]) -> list[Any]:
    """The newest rows, oldest of them first: a history is read forward."""
    return list(rows[:MOST_ROWS])[::-1]


def _attempts(payment: Payment) -> list[dict[str, Any]]:
    attempts: list[Attempt] = _newest(payment.attempts.order_by("-ordinal"))
    return [
        {
            "row": attempt,
            "status": display.status_badge(attempt.status),
            "amount": display.amount(attempt.amount, payment.charged_currency),
        }
        for attempt in attempts
    ]


def _events(payment: Payment) -> list[dict[str, Any]]:
    events: list[PaymentEvent] = _newest(payment.events.select_related("attempt").order_by("-id"))
    names = _names(event.actor for event in events)
    return [
        {
            "row": event,
            "before": display.status_badge(event.from_status),
            "after": display.status_badge(event.to_status),
            "told": causes.told(event),
            "actor": names.get(event.actor, event.actor),
            "evidence": display.pretty(event.evidence) if event.evidence else "",
        }
        for event in events
    ]


def _names(actors: Iterable[str]) -> dict[str, str]:
    """The names of the users who acted, by what events say of them; an actor that is no user keeps its word."""
    users = get_user_model()
    ids = []
    for actor in {actor for actor in actors if actor}:
        try:
            ids.append(users._meta.pk.to_python(actor))
        except ValidationError:
            continue
    return {str(user.pk): user.get_username() for user in users._default_manager.filter(pk__in=ids)}


def _deliveries(payment: Payment) -> list[dict[str, Any]]:
    rows = WebhookDelivery.objects.filter(attempt__payment=payment).order_by("-received_at", "-id")
    return [{"row": row, "body": display.pretty(row.body)} for row in _newest(rows)]


def _incidents(payment: Payment) -> list[dict[str, Any]]:
    incidents: list[Incident] = _newest(payment.incidents.select_related("attempt").order_by("-id"))
    return [{"row": row, "amount": display.amount_of_charge(row.amount, row.currency)} for row in incidents]


def _credit(payment: Payment) -> dict[str, Any] | None:
    credit = Credit.objects.filter(payment=payment).select_related("attempt").first()
    if credit is None:
        return None
    return {"row": credit, "amount": display.amount(credit.amount, credit.currency)}
