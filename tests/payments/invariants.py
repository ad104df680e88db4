"""Invariants I1 to I7, written independently of the package's own check."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent
from tests.payments.fake_gateway import Charge, ModelGateway

LIVE = {"created", "sending", "pending", "unknown"}
LONGEST_WAIT = timedelta(days=1)


def check(gateway: ModelGateway, now: datetime) -> None:
    attempts = list(Attempt.objects.select_related("payment").order_by("payment", "ordinal"))
    payments = list(Payment.objects.select_related("latest_attempt"))
    credits_ = list(Credit.objects.select_related("event", "attempt", "payment"))
    check_credits_match_what_was_paid(credits_, gateway)
    check_credit_is_the_success_of_its_payment(payments, credits_)
    check_payer_is_never_asked_twice(attempts, gateway)
    check_second_charge_opens_an_incident(attempts, credits_, gateway)
    check_events_form_a_chain(attempts)
    check_credit_has_proof(credits_)
    check_undecided_attempt_has_a_next_poll(attempts, now)
    check_newest_attempt_gives_the_status(payments)
    check_every_credit_has_its_message(credits_)


def check_credits_match_what_was_paid(credits_: list[Credit], gateway: ModelGateway) -> None:
    """I1: each credited franc was taken by the gateway."""
    paid = {charge.attempt_id: charge.amount for charge in gateway.paid()}
    for credit in credits_:
        assert paid.get(str(credit.attempt_id)) == credit.amount


def check_credit_is_the_success_of_its_payment(payments: list[Payment], credits_: list[Credit]) -> None:
    """I2: a payment has a credit exactly if it is successful."""
    successful = {payment.pk for payment in payments if payment.status == "successful"}
    assert successful == {credit.payment_id for credit in credits_}


def check_payer_is_never_asked_twice(attempts: list[Attempt], gateway: ModelGateway) -> None:
    """I3: one prompt per attempt, one live attempt per payment. On a page the payer decides how often to pay."""
    asked: dict[str, list[Charge]] = defaultdict(list)
    for charge in gateway.charges:
        if charge.echo:
            asked[charge.echo].append(charge)
    assert all(were_asked_once(charges) for charges in asked.values())
    live = [attempt.payment_id for attempt in attempts if attempt.status in LIVE]
    assert len(live) == len(set(live))


def were_asked_once(charges: list[Charge]) -> bool:
    """An OTP is a second request, and a refused one may be repeated; but FeexPay accepted at most one."""
    coded = [charge for charge in charges if charge.code]
    return len(charges) - len(coded) <= 1 and sum(not charge.refused for charge in coded) <= 1


def check_second_charge_opens_an_incident(
    attempts: list[Attempt], credits_: list[Credit], gateway: ModelGateway
) -> None:
    """I4: every second success of a payment or an order has an incident, and no incident is false.

    A further paid charge of a credited attempt may have an incident too.
    """
    credited = {credit.attempt_id: credit.attempt.gateway_reference for credit in credits_}
    extra = {attempt.pk for attempt in attempts if attempt.status == "successful"} - credited.keys()
    orders = set()
    for credit in sorted(credits_, key=lambda credit: credit.event_id):
        order = (credit.payment.user_id, credit.payment.merchant_reference)
        if order in orders and order[1]:
            extra.add(credit.attempt_id)
        orders.add(order)
    incidents = Incident.objects.filter(kind="duplicate_charge").values_list("attempt_id", "gateway_reference")
    further = {(pk, reference) for pk, reference in incidents if pk in credited and reference != credited[pk]}
    assert further <= {(UUID(charge.attempt_id), charge.reference) for charge in gateway.paid() if charge.attempt_id}
    assert sorted(extra) == sorted(pk for pk, reference in incidents if (pk, reference) not in further)


def check_events_form_a_chain(attempts: list[Attempt]) -> None:
    """I5: each event starts where the one before ended, none leaves SUCCESSFUL, the last one is the status."""
    chains: dict[object, list[tuple[str, str]]] = defaultdict(list)
    for pk, before, after in PaymentEvent.objects.order_by("id").values_list("attempt_id", "from_status", "to_status"):
        chains[pk].append((before, after))
    for attempt in attempts:
        chain = chains[attempt.pk]
        assert chain[0][0] == ""
        assert [before for before, _ in chain[1:]] == [after for _, after in chain[:-1]]
        assert chain[-1][1] == attempt.status
        assert "successful" not in [before for before, _ in chain]


def check_credit_has_proof(credits_: list[Credit]) -> None:
    """I6: the report behind a credit has our reference, our attempt id and our amount."""
    for credit in credits_:
        evidence = credit.event.evidence
        assert (evidence["word"], evidence["echo_matches"]) == ("successful", True)
        assert evidence["reference"] == credit.attempt.gateway_reference
        asked_for = credit.attempt.amount
        assert evidence["amount"] in (None, asked_for, asked_for + credit.payment.fee)


def check_undecided_attempt_has_a_next_poll(attempts: list[Attempt], now: datetime) -> None:
    """I7: a live attempt is polled within a day; a review is polled without end, less often after a week."""
    for attempt in attempts:
        if attempt.status in LIVE or attempt.status == "review":
            longest = (now - attempt.created_at) / 7 if attempt.status == "review" else LONGEST_WAIT
            assert attempt.next_poll_at is not None
            assert attempt.next_poll_at <= now + max(LONGEST_WAIT, longest)


def check_newest_attempt_gives_the_status(payments: list[Payment]) -> None:
    """Also for an earlier attempt under review: while the newest has failed, the payment is under review."""
    for payment in payments:
        if payment.status == "successful":
            continue
        is_reviewed = payment.attempts.filter(status="review").exists()
        has_failed = payment.attempt.status in {"failed", "rejected", "expired"}
        assert payment.status == ("review" if is_reviewed and has_failed else payment.attempt.status)


def check_every_credit_has_its_message(credits_: list[Credit]) -> None:
    told = OutboxMessage.objects.filter(signal="payment_succeeded").values_list("payment_id", flat=True)
    assert sorted(told) == sorted(credit.payment_id for credit in credits_)
