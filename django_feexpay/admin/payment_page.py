"""The sections of a payment's admin page, read with a fixed number of statements and a limited number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from django_feexpay import conf, payable
from django_feexpay.admin import (
    audit_line,
    discrepancy_cells,
    display,
    event_texts,
    next_steps,
    payout_pages,
    refund_pages,
    review_page,
    search,
    staff_actions,
)
from django_feexpay.admin.next_steps import Records
from django_feexpay.admin.people import names_of
from django_feexpay.models import (
    Attempt,
    Checkout,
    Credit,
    Payment,
    PaymentEvent,
    Payout,
    StaffAction,
    WebhookDelivery,
)
from django_feexpay.payments import reviews

#: Rows of one section. A sender of many webhooks must not be able to make this page endless.
MAX_ROWS = 100


def sections(payment: Payment, request: HttpRequest) -> dict[str, Any]:
    """The template's context for one payment. Staff who may view the payment may view all of it."""
    reviewed = reviews.under_review(payment.pk)
    rows = _records(payment)
    return {
        "review": _review(reviewed, request),
        "steps": next_steps.steps(rows, request, conf.now()),
        "proposals": review_page.proposals_of(payment, MAX_ROWS),
        "status": display.status_badge(payment.status),
        "amount": display.amount(payment.amount, payment.currency),
        "same_payer_url": search.same_payer_list(payment.attempt.pk) if payment.attempt.msisdn_hash else "",
        "same_user_url": search.payments_of_user(payment.user_id) if payment.user_id else "",
        "shop_url": payable.admin_url_of(payment, request.user),
        "checkout": Checkout.objects.filter(payment=payment).first(),
        "attempts": _attempts(payment),
        "timeline": _timeline(payment, rows.events),
        "chain": audit_line.of_payment(payment.pk, request),
        "deliveries": _deliveries(payment, rows.payouts),
        "credit": _credit(payment),
        "outbox": rows.messages,
        "incidents": [
            {"row": row, "amount": display.amount_of_charge(row.amount, row.currency)} for row in rows.incidents
        ],
        "discrepancies": [
            {
                "row": row,
                "state": discrepancy_cells.state(row),
                "ours": discrepancy_cells.ours(row),
                "theirs": discrepancy_cells.theirs(row),
            }
            for row in rows.discrepancies
        ],
        "refunds": refund_pages.refunds_of(request, rows.refunds),
        "payouts": payout_pages.payouts_of(request, rows.payouts),
        "most_rows": MAX_ROWS,
    }


def _records(payment: Payment) -> Records:
    return Records(
        payment=payment,
        events=_newest(payment.events.select_related("attempt__payment").order_by("-id")),
        incidents=_newest(payment.incidents.select_related("attempt").order_by("-id")),
        discrepancies=_newest(payment.discrepancies.order_by("-id")),
        refunds=_newest(payment.refunds.order_by("-id")),
        payouts=_newest(payment.payouts.order_by("-created_at")),
        messages=_newest(payment.outbox.order_by("-id")),
    )


def _review(reviewed: Attempt | None, request: HttpRequest) -> dict[str, Any] | None:
    """Why the payment is under review, and the address that closes it for staff with the permission."""
    if reviewed is None:
        return None
    url = review_page.address(reviewed.payment_id) if review_page.may_close_reviews(request) else ""
    return {"answer": review_page.last_answer(reviewed), "url": url, "is_proposed": reviews.open_proposal(reviewed)}


def _newest(rows: QuerySet[Any]) -> list[Any]:
    """The newest rows, the oldest of them first."""
    return list(rows[:MAX_ROWS])[::-1]


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


def _events(events: Sequence[PaymentEvent]) -> list[dict[str, Any]]:
    names = names_of(event.actor for event in events)
    return [
        {
            "row": event,
            "before": display.status_badge(event.from_status),
            "after": display.status_badge(event.to_status),
            "text": event_texts.event_text(event),
            "answer": event_texts.answer_text(event.attempt, event),
            "actor": names[event.actor],
            "entry_point": event_texts.ENTRY_POINTS.get(event.source, event.source),
            "evidence": display.pretty(event.evidence) if event.evidence else "",
        }
        for event in events
    ]


def _timeline(payment: Payment, events: Sequence[PaymentEvent]) -> list[dict[str, Any]]:
    """The events and what staff did, in the order of time."""
    return sorted([*_events(events), *_staff_actions(payment)], key=lambda entry: entry["row"].created_at)


def _staff_actions(payment: Payment) -> list[dict[str, Any]]:
    actions: list[StaffAction] = _newest(payment.staff_actions.order_by("-id"))
    return [
        {
            "row": row,
            "is_staff": True,
            "text": staff_actions.action_text(row),
            "result": staff_actions.result_badge(row),
            "entry_point": event_texts.ENTRY_POINTS.get(row.source, row.source),
        }
        for row in actions
    ]


def _deliveries(payment: Payment, payouts: Sequence[Payout]) -> list[dict[str, Any]]:
    about = Q(attempt__payment=payment)
    if payouts:  # one more condition, which an index answers, only where there is something to find
        about = Q(attempt__in=list(payment.attempts.values_list("pk", flat=True))) | Q(payout__in=payouts)
    rows = WebhookDelivery.objects.filter(about).order_by("-received_at", "-id")
    return [{"row": row, "body": display.pretty(row.body)} for row in _newest(rows)]


def _credit(payment: Payment) -> dict[str, Any] | None:
    credit = Credit.objects.filter(payment=payment).select_related("attempt").first()
    if credit is None:
        return None
    return {
        "row": credit,
        "amount": display.amount(credit.amount, credit.currency),
        "differs": credit.amount != credit.attempt.amount,
    }
