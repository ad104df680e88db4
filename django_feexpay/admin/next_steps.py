"""What a payment waits for, at the top of its page: the fact, the money in it, and a link for those who may act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_feexpay.admin import display, payment_actions, payout_pages, refund_pages, repeat_actions, stuck
from django_feexpay.models import (
    Discrepancy,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Payout,
    PayoutState,
    Refund,
)
from django_feexpay.monitoring import facts
from django_feexpay.payments import refunds
from django_feexpay.payments.refunds import RefundableCharge

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

Link = tuple["str | StrPromise", str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that waits. `is_bad`: money of a payer or of the shop is at stake. `links`: titles and addresses."""

    title: str
    text: SafeString | str
    links: Sequence[Link]
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a payment's page that may wait for something."""

    payment: Payment
    events: Sequence[PaymentEvent]
    incidents: Sequence[Incident]
    discrepancies: Sequence[Discrepancy]
    refunds: Sequence[Refund]
    payouts: Sequence[Payout]
    messages: Sequence[OutboxMessage]


def steps(records: Records, request: HttpRequest, now: datetime) -> list[Step]:
    """What the payment waits for, the most urgent first.

    Only open incidents cost statements of their own, three for all of them.
    """
    found = [
        *_incidents(records, request),
        *_discrepancies(records, request),
        *_proposed_refunds(records, request),
        *_payouts(records, request),
        *_open_for_long(records, request, now),
        *_late_signals(records, request, now),
    ]
    return sorted(found, key=lambda step: not step.is_bad)


def _incidents(records: Records, request: HttpRequest) -> Iterator[Step]:
    if all(row.closed_at is not None for row in records.incidents):
        return
    charges = refunds.charges_of(records.payment.pk)
    by_incident = {charge.incident.pk: charge for charge in charges if charge.incident is not None}
    for incident in records.incidents:
        if incident.closed_at is None:
            yield _incident(incident, by_incident[incident.pk], request)


def _incident(incident: Incident, charge: RefundableCharge, request: HttpRequest) -> Step:
    owed = display.amount(charge.owed, charge.currency)
    text: SafeString | str
    if incident.kind == Incident.Kind.REVERSED_AFTER_CREDIT:
        title = _("FeexPay took this credited payment back")
        text = format_html(
            _("{} are missing. Decide whether the buyer keeps the goods, then close the incident."), owed
        )
    elif incident.kind == Incident.Kind.PAYOUT_UNDONE:
        title = _("FeexPay undid a payout")
        text = _("The payer has the money again. Close the incident.")
        if charge.owed > 0:
            text = format_html(
                _("{} did not stay with the payer. Look in FeexPay's dashboard, then pay the payer back."), owed
            )
    elif charge.owed > 0:
        title = _("The payer was charged twice")
        text = format_html(_("{} are owed to the payer. FeexPay's reference: {}."), owed, charge.reference or "–")
    else:
        title = _("The payer was charged twice")
        text = _("The second charge went back to the payer. Close the incident.")
    links: list[Link] = [
        (refund_pages.TITLE, refund_pages.record_url(request, charge)),
        (refund_pages.CLOSE_TITLE, refund_pages.close_url(request, incident)),
        (_("Open the incident"), _page(request, incident)),
    ]
    return Step(title, text, _useful(links), is_bad=True)


def _discrepancies(records: Records, request: HttpRequest) -> Iterator[Step]:
    for row in records.discrepancies:
        if row.state == Discrepancy.State.OPEN:
            texts = {"kind": row.get_kind_display(), "day": display.day(display.local(row.found_at))}
            text = _("The comparison of %(day)s found: %(kind)s.") % texts
            links: list[Link] = [(_("Open the difference"), _page(request, row))]
            yield Step(_("It differs from FeexPay's history"), text, _useful(links), is_bad=row.money_at_stake)


def _proposed_refunds(records: Records, request: HttpRequest) -> Iterator[Step]:
    for refund in records.refunds:
        if refund.state == Refund.State.PROPOSED:
            text = format_html(
                _("A refund of {} waits for a second person."), display.amount(refund.amount, refund.currency)
            )
            links: list[Link] = [(_("Open the refund"), _page(request, refund))]
            yield Step(_("A refund is proposed"), text, _useful(links))


def _payouts(records: Records, request: HttpRequest) -> Iterator[Step]:
    for payout in records.payouts:
        if payout.life_state is PayoutState.UNKNOWN:
            text = format_html(
                _("{} may have been paid out. Look for the payout in FeexPay's dashboard, then close it."),
                display.amount(payout.amount, payout.currency),
            )
            links: list[Link] = [
                (payout_pages.CLOSE_TITLE, payout_pages.close_url(request, payout)),
                (_("Open the payout"), _page(request, payout)),
            ]
            yield Step(_("The outcome of a payout is unknown"), text, _useful(links), is_bad=True)
    for refund in records.refunds:
        states = {payout.life_state for payout in records.payouts if payout.refund_id == refund.pk}
        if refund.state == Refund.State.APPROVED and states == {PayoutState.FAILED}:
            text = format_html(
                _("{} did not reach the payer. Send the payout again, or cancel the refund and pay it another way."),
                display.amount(refund.amount, refund.currency),
            )
            opened: list[Link] = [(_("Open the refund"), _page(request, refund))]
            yield Step(_("The payout of a refund failed"), text, _useful(opened), is_bad=True)


def _open_for_long(records: Records, request: HttpRequest, now: datetime) -> Iterator[Step]:
    payment = records.payment
    if not stuck.is_stuck(payment, now):
        return
    because = records.events[-1].because if records.events else ""
    asked = _("FeexPay is asked next: {}.")
    if not stuck.is_polled(payment.attempt, now):
        asked = _("FeexPay should have been asked: {}. Is the worker running?")
    text = format_html(
        "{} {}", stuck.cause(payment.attempt, because), format_html(asked, stuck.next_poll(payment.attempt, now))
    )
    links: list[Link] = [(payment_actions.RECONCILE.title, _action(request, "reconcile", payment))]
    yield Step(_("Open for %(age)s") % {"age": stuck.age(payment, now)}, text, _useful(links))


def _late_signals(records: Records, request: HttpRequest, now: datetime) -> Iterator[Step]:
    for message in records.messages:
        if message.delivered_at is None and message.created_at < now - facts.within("signals_late"):
            text = _("The signal “%(signal)s” was not taken by the shop.") % {"signal": message.get_signal_display()}
            if message.last_error:
                text = f"{text} {message.last_error}"
            links: list[Link] = [(repeat_actions.SEND_AGAIN.title, _action(request, "send_again", message))]
            yield Step(_("The shop does not know yet"), text, _useful(links))


# --- links -------------------------------------------------------------------------------------------

_ACTIONS = {"reconcile": payment_actions.RECONCILE, "send_again": repeat_actions.SEND_AGAIN}


def _page(request: HttpRequest, row: Any) -> str:
    """The address of a record's page; "" for staff who may not view it."""
    name = row._meta.model_name
    may = request.user.has_perm(f"feexpay.view_{name}")
    return reverse(f"admin:feexpay_{name}_change", args=[row.pk]) if may else ""


def _action(request: HttpRequest, action: str, row: Any) -> str:
    """The address that confirms an action; "" for staff who may not do it."""
    name = row._meta.model_name
    if not request.user.has_perms([f"feexpay.view_{name}", _ACTIONS[action].permission]):
        return ""
    return f"{reverse(f'admin:feexpay_{name}_{action}')}?{urlencode({name: row.pk})}"


def _useful(links: Sequence[Link]) -> list[Link]:
    return [(title, url) for title, url in links if url]
