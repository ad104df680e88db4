"""Two rules in one payment: reviews with second charges, refusals with webhooks, waits with clock corrections."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Credit, Incident
from django_feexpay.payments import leases, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import Charge, ModelGateway, charge_and_answer, lose_the_answer, refuse, reply
from tests.payments.fakes import Clock, Recorder, only_attempt, sweep, sweep_at_next_poll, sweep_until_final
from tests.payments.reviewing import close, put_under_review

pytestmark = pytest.mark.django_db

BAD_REQUEST = {"message": "Bad Request"}


def found() -> list[tuple[str, str, int | None]]:
    rows = Incident.objects.filter(kind="duplicate_charge").order_by("pk")
    return list(rows.values_list("gateway_reference", "credited_reference", "amount"))


# --- reviews and second charges ---------------------------------------------------------------------------


def test_second_charge_under_review_is_found_after_the_credit(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    payment = begin()
    charge = gateway.last()
    charge.lies = {"amount": 4999}
    charge.approve()
    clock.advance(10)
    sweep()
    payment.refresh_from_db()
    assert payment.status == "review"
    gateway.charge_again(charge, "ref-again")
    clock.advance(20 * 86_400)

    close(payment, "credit_taken", ama)
    clock.advance(60)
    sweep()

    assert found() == [("ref-again", "ref-0001", 5000)]
    assert only_attempt(payment).next_poll_at is None
    assert list(violations()) == []


def test_second_charge_that_a_webhook_named_before_the_credit_is_asked_about(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    charge = gateway.last()
    charge.approve()
    again = gateway.charge_again(charge, "ref-again")
    for told in (charge, again):
        webhook_hints.receive(hint_from(told.truth()))
    for _ in range(3):
        clock.advance(60)
        sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert found() == [("ref-again", "ref-0001", 5000)]


def test_only_charge_of_a_page_credited_by_staff_is_no_second_charge(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    payment = begin(provider="visa", phone="")
    put_under_review(payment)
    close(payment, "credit_price", ama)
    gateway.pay_on_page().approve()

    webhook_hints.receive(
        hint_from({"reference": "card-0001", "status": "SUCCESSFUL", "callback_info": str(only_attempt(payment).pk)})
    )
    for _ in range(3):
        clock.advance(60)
        sweep()

    attempt = only_attempt(payment)
    assert found() == []
    assert attempt.gateway_reference == "card-0001"
    assert list(violations()) == []


def test_incident_of_a_second_credit_names_feexpays_amount(
    begin: Begin, gateway: ModelGateway, clock: Clock, ama: User
) -> None:
    first = begin(merchant_reference="order-1")
    gateway.last().status = "FAILED"
    sweep_until_final(first, clock)
    second = begin(merchant_reference="order-1")
    gateway.last().lies = {"amount": 4999}
    gateway.last().approve()
    clock.advance(10)
    sweep()
    gateway.charges[0].approve()
    clock.advance(700)
    sweep()
    assert Credit.objects.get().payment == first

    close(second, "credit_taken", ama)

    assert found() == [("ref-0002", "ref-0001", 4999)]


# --- refusals and webhooks -----------------------------------------------------------------------------------


def test_webhook_before_a_documented_refusal_is_checked(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """FeexPay refuses with a documented reason, but its webhook just before said that it charged."""

    def charge_post_webhook_refuse(charge: Charge) -> WireReply:
        charge.approve()
        webhook_hints.receive(hint_from(charge.truth()))
        return reply(400, {"code": "PAYER_NOT_FOUND", "message": "PAYER_NOT_FOUND"})

    gateway.next_collects = [charge_post_webhook_refuse]
    payment = begin()
    assert payment.status == "rejected"
    clock.advance(120)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_retry_checks_a_refusal_that_a_webhook_contradicts(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse()]
    payment = begin()
    attempt = only_attempt(payment)
    webhook_hints.receive(hint_from({"reference": "ref-x", "status": "SUCCESSFUL", "callback_info": str(attempt.pk)}))
    gateway.reads_unanswered = True

    with pytest.raises(NotAllowedError) as refusal:
        retry(payment.pk, source=Source.HOST)

    assert refusal.value.code == "gateway_unavailable"


@pytest.mark.parametrize(("status", "told"), [("SUCCESSFUL", "review"), ("PENDING", "review"), ("FAILED", "rejected")])
def test_similar_payment_in_history_sends_a_doubtful_refusal_to_review(
    status: str, told: str, begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    gateway.next_collects = [charge_and_answer(400, BAD_REQUEST, names_it=False)]
    payment = begin()
    charge = gateway.last()
    charge.echo, charge.status = "", status
    for _ in range(2):
        sweep_at_next_poll(clock)
        clock.advance(660)

    payment.refresh_from_db()
    assert payment.status == told
    assert ("payment_needs_review" in signals.names()) is (told == "review")
    if told == "review":
        said = payment.events.order_by("-id")[0].evidence["like_it"]
        assert said == [{"reference": charge.reference, "word": status.lower(), "amount": 5000}]


def test_review_of_a_lost_request_names_the_similar_payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = begin()
    gateway.last().echo = ""
    for _ in range(2):
        sweep_at_next_poll(clock)
        clock.advance(660)
        sweep()

    payment.refresh_from_db()
    assert payment.status == "review"
    said = payment.events.order_by("-id")[0].evidence["like_it"]
    assert said == [{"reference": "ref-0001", "word": "pending", "amount": 5000}]


def test_retry_is_refused_while_history_has_a_payment_similar_to_the_doubtful_refusal(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [charge_and_answer(400, BAD_REQUEST, names_it=False)]
    payment = begin()
    gateway.last().echo = ""
    gateway.last().approve()

    with pytest.raises(NotAllowedError) as refusal:
        retry(payment.pk, source=Source.HOST)

    assert refusal.value.code == "payment_open"
    assert len(gateway.charges) == 1


def test_new_payment_of_an_order_first_checks_a_doubtful_refusal(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [charge_and_answer(400, BAD_REQUEST, names_it=False)]
    first = begin(merchant_reference="order-1")
    gateway.last().approve()

    gateway.reads_unanswered = True
    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        begin(merchant_reference="order-1")
    gateway.reads_unanswered = False
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-1")

    first.refresh_from_db()
    assert (first.status, len(gateway.charges)) == ("successful", 1)


def test_doubtful_refusal_is_polled_until_feexpay_answers(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [charge_and_answer(400, BAD_REQUEST, names_it=False)]
    payment = begin()
    gateway.last().approve()
    gateway.reads_unanswered = True
    clock.advance(30)
    for _ in range(8):
        sweep_at_next_poll(clock)
    assert list(violations()) == []

    gateway.reads_unanswered = False
    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_lost_answer_with_a_refused_key_goes_to_review_within_a_day(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.next_collects = [lose_the_answer]
    payment = begin()
    refused = reply(401, {"code": "UNAUTHORIZED", "message": "no"})
    monkeypatch.setattr(gateway, "exchange", lambda request: refused)
    clock.advance(86_400)
    for _ in range(3):
        sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "review"


# --- waits and their correction -----------------------------------------------------------------------------


def test_long_retry_after_of_a_page_is_no_wrong_clock(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(EXPIRY_SECONDS=3600, DISPATCH="queue")
    gateway.next_pages = [lambda url: reply(429, {"message": "slow down"}, {"retry-after": "1800"})]
    begin(provider="visa", phone="")
    sweep()

    assert leases.correct_schedule() == 0
    assert list(violations()) == []


def test_long_wait_after_a_credit_is_no_wrong_clock(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)
    leases.make_credited_due_now(only_attempt(payment), at=clock.at + timedelta(hours=2))

    assert leases.correct_schedule() == 0
    assert list(violations()) == []
