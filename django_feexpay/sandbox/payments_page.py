"""The list of payments with their webhooks, newest first."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.markup import Markup, fill, join
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import Viewer, page, version_of, viewer_of
from django_feexpay.sandbox.store import Delivery, Payment
from django_feexpay.sandbox.texts import money, reason_in_words
from django_feexpay.sandbox.webhook_queue import LOST

SHOWN_PAYMENTS = 200

_COLUMNS = ("status", "amount", "network", "msisdn", "time", "reference", "webhooks")


async def payments(request: Request) -> Response:
    viewer = viewer_of(request)
    body = _body(viewer)
    content = fill(
        "payments",
        title=viewer.text("payments"),
        body=body,
        version=version_of(body),
        state_url=viewer.url("/payments/state"),
        next_url=viewer.url("/payments"),
    )
    return page(viewer, "payments", "/payments", content)


async def state(request: Request) -> Response:
    """GET payments/state: the current version of the list."""
    return JSONResponse({"version": version_of(_body(viewer_of(request)))})


def _body(viewer: Viewer) -> Markup:
    every = viewer.sandbox.store.payments()
    if not every:
        return fill("empty", title=viewer.text("no_payments"), more=viewer.text("start_in_shop"))
    shown = every[:SHOWN_PAYMENTS]
    note = viewer.text("newest_only", shown=len(shown), total=len(every)) if len(shown) < len(every) else ""
    heads = join(fill("table_head", text=viewer.text(column)) for column in _COLUMNS)
    rows = join(_row(viewer, payment) for payment in shown)
    return fill("table", heads=heads, rows=rows, note=note)


def _row(viewer: Viewer, payment: Payment) -> Markup:
    reason = reason_in_words(viewer.language, payment.reason) if payment.reason else ""
    deliveries = viewer.sandbox.store.deliveries_of(payment.reference)
    return fill(
        "table_row",
        **{f"{column}_label": viewer.text(column) for column in _COLUMNS},
        kind=payment.status.lower(),
        status=viewer.text(payment.status),
        reason=reason,
        amount=money(payment.paid_amount or payment.amount),
        network=payment.network.reseau,
        msisdn=masked(payment.msisdn, payment.network),
        instant=bodies.iso(payment.created_at),
        time=f"{datetime.fromtimestamp(payment.created_at, UTC):%Y-%m-%d %H:%M:%S} UTC",
        reference=payment.reference,
        url=viewer.url(f"/payments/{payment.reference}"),
        webhooks=join(_webhook(viewer, one) for one in deliveries) or Markup(viewer.text("no_webhook")),
    )


def _webhook(viewer: Viewer, delivery: Delivery) -> Markup:
    outcome = viewer.text(LOST) if delivery.outcome == LOST else delivery.outcome or viewer.text("waiting")
    parts = [f"{delivery.status} → {outcome}"]
    if delivery.attempts > 1:
        parts.append(viewer.text("attempts", count=delivery.attempts))
    if delivery.attempts and delivery.outcome and not delivery.delivered:
        parts.append(viewer.text("given_up" if delivery.due_at is None else "again"))
    return fill("webhook", text=" · ".join(parts))


ROUTES = [
    Route("/payments", payments, methods=["GET"]),
    Route("/payments/state", state, methods=["GET"]),
]
