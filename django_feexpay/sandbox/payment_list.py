"""The list of payments: 20 a page, newest first.

A page is named by the number of the payment next to it (`?before=`, `?after=`), so it stays the same while new payments
arrive, and a page of 100,000 payments costs as much as one of 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, page, version_of, viewer_of
from django_feexpay.sandbox.store import PAYOUT, Delivery, Payment
from django_feexpay.sandbox.texts import grouped, money, reason_in_words
from django_feexpay.sandbox.webhooks import LOST

PAGE_ROWS = 20

_COLUMNS = ("status", "amount", "network", "msisdn", "time", "reference", "webhooks")


@dataclass(frozen=True, slots=True)
class _Page:
    """The payments of one page. `newer`: how many come before them. `query`: names the page in its address."""

    payments: list[Payment]
    newer: int
    total: int
    query: dict[str, str]


async def payments(request: Request) -> Response:
    viewer = viewer_of(request)
    shown = _page_of(viewer, request)
    body = _body(viewer, shown)
    content = viewer.fill(
        "payments",
        body=body,
        version=version_of(body),
        state_url=viewer.url("/payments/state", **shown.query),
        next_url=viewer.url("/payments", **shown.query),
    )
    here = "/payments" + "".join(f"?{name}={number}" for name, number in shown.query.items())
    return page(viewer, "payments", here, content)


async def payments_state(request: Request) -> Response:
    """GET payments/state: the current version of this page of the list."""
    viewer = viewer_of(request)
    return JSONResponse({"version": version_of(_body(viewer, _page_of(viewer, request)))})


def number_in_query(request: Request, name: str) -> int | None:
    """The payment's number in this parameter; None when it is missing or no number."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _page_of(viewer: Viewer, request: Request) -> _Page:
    """The page that the query names; the newest when it names none or an empty one."""
    store = viewer.sandbox.store
    before, after = (number_in_query(request, name) for name in ("before", "after"))
    found: list[Payment] = []
    query: dict[str, str] = {}
    if before is not None:
        found, query = store.payments_before(before, PAGE_ROWS), {"before": str(before)}
    elif after is not None:
        found, query = store.payments_after(after, PAGE_ROWS), {"after": str(after)}
    if not found:
        found, query = store.newest_payments(PAGE_ROWS), {}
    newer = store.payment_count(after=found[0].number) if query else 0
    return _Page(found, newer, store.payment_count(), query)


def _body(viewer: Viewer, shown: _Page) -> Markup:
    if not shown.payments:
        return viewer.fill("empty", title=viewer.text("no_payments"), more=viewer.text("start_in_shop"))
    deliveries = viewer.sandbox.store.deliveries_by_payment([one.reference for one in shown.payments])
    heads = join(viewer.fill("table_head", text=viewer.text(column)) for column in _COLUMNS)
    rows = join(_row(viewer, one, deliveries.get(one.reference, [])) for one in shown.payments)
    return viewer.fill("table", heads=heads, rows=rows, pager=_pager(viewer, shown))


def _pager(viewer: Viewer, shown: _Page) -> Markup:
    """Which payments these are, with the links to newer and older ones; nothing when all are on the page."""
    last = shown.newer + len(shown.payments)
    if not shown.newer and last == shown.total:
        return EMPTY
    newer = older = EMPTY
    if shown.newer:
        # The first page has no number, so that it shows payments that arrive later.
        query = {"after": str(shown.payments[0].number)} if shown.newer > PAGE_ROWS else {}
        newer = viewer.fill("pager_link", url=viewer.url("/payments", **query), rel="prev", text=viewer.text("newer"))
    if last < shown.total:
        url = viewer.url("/payments", before=str(shown.payments[-1].number))
        older = viewer.fill("pager_link", url=url, rel="next", text=viewer.text("older"))
    numbers = {"first": shown.newer + 1, "last": last, "total": shown.total}
    position = viewer.text("position", **{name: grouped(viewer.language, one) for name, one in numbers.items()})
    return viewer.fill("pager", position=position, newer=newer, older=older)


def _row(viewer: Viewer, payment: Payment, deliveries: list[Delivery]) -> Markup:
    return viewer.fill(
        "table_row",
        **{f"label_{column}": viewer.text(column) for column in _COLUMNS},
        kind=payment.status.lower(),
        status=viewer.text(payment.status),
        reason=reason_in_words(viewer.language, payment.reason or ""),
        amount=money(payment.paid_amount or payment.amount),
        network=" · ".join([payment.network.reseau, *([viewer.text(PAYOUT)] if payment.is_payout else [])]),
        msisdn=masked(payment.msisdn, payment.network),
        instant=bodies.iso(payment.created_at),
        time=created_at(payment),
        reference=payment.reference,
        url=viewer.url(f"/payments/{payment.reference}"),
        webhooks=join(_webhook(viewer, one) for one in deliveries) or Markup(viewer.text("no_webhook")),
    )


def _webhook(viewer: Viewer, delivery: Delivery) -> Markup:
    parts = [f"{delivery.status} → {outcome(viewer, delivery)}"]
    if delivery.attempts > 1:
        parts.append(viewer.text("attempts", count=delivery.attempts))
    if delivery.attempts and delivery.outcome and not delivery.delivered:
        parts.append(viewer.text("given_up" if delivery.due_at is None else "again"))
    return viewer.fill("webhook", text=" · ".join(parts))


def outcome(viewer: Viewer, delivery: Delivery) -> str:
    return viewer.text(LOST) if delivery.outcome == LOST else delivery.outcome or viewer.text("waiting")


def created_at(payment: Payment) -> str:
    return instant_text(payment.created_at)


def instant_text(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


ROUTES = [
    Route("/payments", payments, methods=["GET"]),
    Route("/payments/state", payments_state, methods=["GET"]),
]
