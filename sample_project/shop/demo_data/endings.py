"""The ways in which a made-up payment ends, and what staff did about it.

Every ending keeps to the time: what would happen after now has not happened yet.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Discrepancy, Incident, Refund, ReviewDecision, StaffAction
from shop.demo_data.differences import Differences
from shop.demo_data.one_payment import EXPIRY, OnePayment, Signal, Source

Action = StaffAction.Action
Resolution = Incident.Resolution

_FAILURES = {
    "low_balance": 46,
    "payer_declined": 24,
    "operator_error": 12,
    "payer_not_found": 10,
    "account_not_active": 8,
}
_REFUSALS = {
    "low_balance": 40,
    "payer_not_found": 30,
    "invalid_phone": 18,
    "invalid_amount": 7,
    "provider_not_activated": 5,
}

#: Staff has dealt with what is older than this.
_REVIEW_CLOSED, _INCIDENT_CLOSED = timedelta(days=12), timedelta(days=8)


def paid(one: OnePayment) -> None:
    """The payer approves the prompt within a minute or so."""
    one.accepted()
    one.at += _until_answer(one)
    one.confirmed(one.attempt)


def failed(one: OnePayment) -> None:
    """The operator or the payer says no."""
    one.accepted()
    one.at += _until_answer(one)
    one.failed(one.attempt, _choose(one, _FAILURES))


def trouble(one: OnePayment) -> None:
    """The operator has an outage."""
    one.accepted()
    one.at += one.world.seconds(20, 300)
    one.failed(one.attempt, "operator_error")


def refused(one: OnePayment) -> None:
    """FeexPay refuses the request at once."""
    one.at += one.world.seconds(0.3, 1.5)
    code = one.attempt.reason_code = _choose(one, _REFUSALS)
    one.move(one.attempt, Status.REJECTED, code, source=Source.API)


def expired(one: OnePayment) -> None:
    """The payer never answers."""
    one.accepted()
    one.at = one.attempt.created_at + EXPIRY
    one.move(one.attempt, Status.EXPIRED, "page_not_used" if one.is_card else "payer_did_not_answer")


def paid_at_second_try(one: OnePayment) -> None:
    """The first attempt fails, the payer tries again."""
    failed(one)
    one.at += one.world.seconds(25, 240)
    one.start("retried")
    paid(one)


def paid_late(one: OnePayment, differences: Differences) -> None:
    """It expired, and the nightly comparison found that FeexPay took the money."""
    expired(one)
    attempt = one.attempt
    attempt.gateway_reference = attempt.gateway_reference or str(one.world.new_id())
    one.at = max(one.at + timedelta(hours=1), differences.night_after(one.at))
    difference = differences.add(attempt, Discrepancy.Kind.STATUS, at=one.at, their_word="successful")
    differences.settle(difference, Discrepancy.Outcome.MOVED)
    one.confirmed(attempt)


def stuck(one: OnePayment) -> None:
    """The prompt was sent and is not answered yet."""
    one.accepted()


# --- reviews -------------------------------------------------------------------------------------------


def review(one: OnePayment, differences: Differences) -> None:
    """FeexPay took another amount, or does not know the payment any more; after some days staff decide."""
    one.accepted()
    one.at += one.world.seconds(20, 120)
    attempt = one.attempt
    attempt.gateway_reference = attempt.gateway_reference or str(one.world.new_id())
    other_amount = one.world.chance.random() < 0.75
    if other_amount:
        taken: int | None = attempt.amount - one.world.chance.choice((1, 5, 50))
        evidence = one.evidence(attempt, Word.SUCCESSFUL, taken)
        one.move(attempt, Status.REVIEW, "amount_mismatch", evidence=evidence)
        kind, word = Discrepancy.Kind.AMOUNT, "successful"
    else:
        taken = None
        evidence = one.evidence(attempt, Word.MISSING, None)
        one.at = attempt.created_at + EXPIRY
        one.move(attempt, Status.REVIEW, "unknown_to_gateway", evidence=evidence)
        kind, word = Discrepancy.Kind.MISSING_THERE, ""
    found_at = differences.night_after(one.at)
    difference = None
    if found_at < one.world.now:
        difference = differences.add(attempt, kind, at=found_at, their_word=word, their_amount=taken, at_stake=True)
    if one.world.now - one.at > _REVIEW_CLOSED:
        _close_review(one, taken)
        if difference is not None:
            differences.close(difference, one.at, "Examiné avec le relevé de FeexPay.")


def _close_review(one: OnePayment, taken: int | None) -> None:
    one.at += one.world.seconds(24 * 3600, 9 * 24 * 3600)
    attempt, chance = one.attempt, one.world.chance
    actor, _name = one.world.people.staff["Finance"]
    if taken is None:
        decision, word, note = (
            ReviewDecision.NOT_PAID,
            Word.MISSING,
            "Aucun débit chez l'opérateur, vérifié avec FeexPay.",
        )
    elif chance.random() < 0.7:
        decision, word, note = (
            ReviewDecision.CREDIT_TAKEN,
            Word.SUCCESSFUL,
            "Montant réellement débité, vu chez FeexPay.",
        )
    else:
        decision, word = ReviewDecision.CREDIT_PRICE, Word.SUCCESSFUL
        note = "Écart de quelques francs : prix crédité."
    evidence = one.evidence(attempt, word, taken)
    to_status = Status.FAILED if decision is ReviewDecision.NOT_PAID else Status.SUCCESSFUL
    if to_status is Status.FAILED:
        attempt.reason_code = "not_paid"
    event = one.move(attempt, to_status, decision, source=Source.ADMIN, actor=actor, note=note, evidence=evidence)
    if to_status is Status.SUCCESSFUL:
        amount = taken if decision is ReviewDecision.CREDIT_TAKEN and taken else attempt.amount
        one.credited(attempt, event, amount)
    detail = {"step": "closed", "decision": str(decision), "attempt": attempt.ordinal}
    one.world.staff_action(Action.CLOSE_REVIEW, "Finance", one.at, one.payment, reason=note, detail=detail)


# --- charged twice, taken back, paid back --------------------------------------------------------------


def charged_twice(one: OnePayment, differences: Differences) -> None:
    """A failed first attempt succeeds after the second one was credited, or one attempt is charged twice."""
    attempt = one.attempt
    if one.is_card or one.world.chance.random() < 0.4:
        paid(one)
        one.at = differences.night_after(one.at)
        reference = str(one.world.new_id())
        incident = one.incident(Incident.Kind.DUPLICATE_CHARGE, attempt, reference, attempt.amount)
        difference = differences.add(
            attempt, Discrepancy.Kind.SECOND_ROW, at=one.at, their_word="successful", reference=reference, at_stake=True
        )
        difference.outcome = Discrepancy.Outcome.INCIDENT
        if _end_incident(one, incident):
            differences.close(difference, one.at, incident.note)
        return
    trouble(one)
    one.at += one.world.seconds(30, 120)
    one.start("retried")
    paid(one)
    one.at += one.world.seconds(30, 1800)
    one.confirmed(attempt)
    _end_incident(one, one.world.rows.incidents[-1])


def taken_back(one: OnePayment) -> None:
    """FeexPay takes a credited payment back two days later."""
    paid(one)
    one.at += one.world.seconds(24 * 3600, 72 * 3600)
    attempt = one.attempt
    incident = one.incident(
        Incident.Kind.REVERSED_AFTER_CREDIT, attempt, attempt.gateway_reference or "", attempt.amount
    )
    if one.world.now - one.at < _INCIDENT_CLOSED:
        return
    one.at += one.world.seconds(24 * 3600, 6 * 24 * 3600)
    accepted = one.world.chance.random() < 0.5
    resolution = Resolution.LOSS_ACCEPTED if accepted else Resolution.GOODS_TAKEN_BACK
    note = "Perte acceptée par la boutique." if accepted else "Pièces retirées du compte du joueur."
    _close_incident(one, incident, resolution, note)


def _end_incident(one: OnePayment, incident: Incident) -> bool:
    """What staff did about a double charge; False while it is open."""
    chance = one.world.chance
    if one.world.now - one.at < _INCIDENT_CLOSED:
        if chance.random() < 0.25 and one.world.now - one.at > timedelta(days=2):
            one.at += timedelta(days=1)
            refund(one, incident.attempt, incident.amount or 0, incident, waits=True)
        return False
    one.at += one.world.seconds(8 * 3600, 6 * 24 * 3600)
    if chance.random() < 0.8:
        refund(one, incident.attempt, incident.amount or 0, incident)
        _close_incident(one, incident, Resolution.REFUNDED, "Second débit rendu, reçu envoyé au joueur.")
    else:
        _close_incident(one, incident, Resolution.KEPT_AS_BALANCE, "Le joueur préfère garder le montant en pièces.")
    return True


def _close_incident(one: OnePayment, incident: Incident, resolution: str, note: str) -> None:
    one.at += timedelta(minutes=5)
    actor, _name = one.world.people.staff["Finance"]
    incident.closed_at, incident.closed_by, incident.resolution, incident.note = one.at, actor, resolution, note
    detail = {"resolution": str(resolution)}
    one.world.staff_action(Action.CLOSE_INCIDENT, "Finance", one.at, incident, reason=note, detail=detail)


def paid_back(one: OnePayment) -> None:
    """The shop gives a credited payment back, in whole or in part."""
    paid(one)
    one.at += one.world.seconds(3600, 48 * 3600)
    amount = one.attempt.amount
    whole = one.world.chance.random() < 0.6
    refund(one, one.attempt, amount if whole else max(1, amount // 2), None)
    if whole and one.world.chance.random() < 0.3:
        one.at += timedelta(minutes=3)
        one.payment.released_at = one.at
        text = "Le joueur veut payer de nouveau."
        one.world.staff_action(Action.RELEASE_ORDER, "Finance", one.at, one.payment, reason=text)


def refund(one: OnePayment, attempt: Attempt, amount: int, incident: Incident | None, *, waits: bool = False) -> None:
    """As `payments.refunds.record`; `waits`: for a second person."""
    world = one.world
    way = world.chance.choices((Refund.Way.MOBILE_MONEY, Refund.Way.GATEWAY, Refund.Way.CASH), (6, 3, 1))[0]
    reason = "Débité deux fois." if incident else world.chance.choice(("Achat par erreur.", "Geste commercial."))
    actor, _name = world.people.staff["Finance"]
    row = Refund(
        payment=one.payment,
        attempt=attempt,
        incident=incident,
        credited=incident is None,
        gateway_reference=incident.gateway_reference if incident else attempt.gateway_reference or "",
        amount=amount,
        currency=one.payment.charged_currency,
        way=way,
        outside_reference="" if way == Refund.Way.CASH else f"R{world.chance.randrange(10**9):09}",
        reason=reason,
        state=Refund.State.PROPOSED if waits else Refund.State.RECORDED,
        event_id=None if waits else world.new_id(),
        two_person_above=0 if waits else None,
        source=Source.ADMIN,
        proposed_by=actor,
        proposed_at=one.at,
        recorded_at=None if waits else one.at,
    )
    world.rows.refunds.append(row)
    if row.event_id is not None:
        one.signal(Signal.REFUNDED, row.event_id)
    detail = {"amount": amount, "currency": row.currency, "way": str(way), "state": str(row.state)}
    world.staff_action(Action.REFUND, "Finance", one.at, row, reason=reason, detail=detail)


def _until_answer(one: OnePayment) -> timedelta:
    """Most payers answer in twenty seconds, a few take minutes."""
    return timedelta(seconds=min(600, 4 + one.world.chance.lognormvariate(2.9, 0.75)))


def _choose(one: OnePayment, weights: dict[str, int]) -> str:
    return one.world.chance.choices(list(weights), list(weights.values()))[0]


def may_end(ending: Callable[..., None], at: datetime, now: datetime) -> bool:
    """Whether there was time for all of it since `at`."""
    return now - at > _TIME_NEEDED.get(ending, timedelta())


_TIME_NEEDED: dict[Callable[..., None], timedelta] = {
    paid_late: timedelta(days=2),
    charged_twice: timedelta(days=2),
    taken_back: timedelta(days=4),
    paid_back: timedelta(days=4),
    review: timedelta(hours=1),
}
