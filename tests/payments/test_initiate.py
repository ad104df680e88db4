"""Start and send: the intent is on disk before the gateway hears of it, and nothing is ever sent twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError

from django_feexpay import conf
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Payment, PaymentEvent, Provider
from django_feexpay.payments import attempts, leases, ledger, sending
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import Charge, ModelGateway, accept, accept_as, cannot_reach, lose_the_answer, refuse
from tests.payments.fakes import Clock, Recorder, look_again, moves, next_due_at, only_attempt, run_until_told, sweep

pytestmark = pytest.mark.django_db


def test_accepted_payment_waits_for_its_payer(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail) == ("pending", "waiting_for_payer")
    assert attempt.gateway_reference == gateway.last().reference
    assert (attempt.sent_at, attempt.expires_at) == (clock.at, clock.at + timedelta(seconds=900))
    assert attempt.next_poll_at == clock.at + timedelta(seconds=5)
    assert moves(payment) == ["sending", "pending"]


def test_attempt_id_travels_in_the_echo_with_amount_and_number(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()

    sent = gateway.last()
    assert (sent.echo, sent.amount, sent.msisdn) == (str(only_attempt(payment).pk), 5000, "2290161000050")


def test_intent_is_committed_before_anything_is_sent(begin: Begin, gateway: ModelGateway) -> None:
    seen: list[str] = []

    def look(charge: Charge) -> WireReply:
        seen.extend(Attempt.objects.values_list("status", flat=True))
        return accept(charge)

    gateway.next_collects.append(look)
    begin()

    assert seen == ["sending"]


def test_page_in_the_answer_sends_the_payer_there(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects.append(accept_as("ref-1", payment_url="https://pay.test/1"))

    payment = begin()

    assert (payment.detail, payment.attempt.redirect_url) == ("redirect", "https://pay.test/1")


@pytest.mark.parametrize("word", ["SUCCESSFUL", "FAILED"])
def test_final_word_in_the_answer_is_asked_about_and_never_believed(
    begin: Begin, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    gateway.next_collects.append(accept_as("ref-1", status=word))

    payment = begin()

    assert payment.status == "pending"
    assert only_attempt(payment).next_poll_at == clock.at


def test_refused_payment_is_told_at_once_with_its_reason(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse("PAYER_NOT_FOUND"))

    payment = begin()

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail) == ("rejected", "refused")
    assert (attempt.reason_code, attempt.next_poll_at) == ("payer_not_found", None)
    assert payment.settled_at is not None


def test_our_wrong_key_is_a_refusal_and_an_error_in_the_log(
    begin: Begin, gateway: ModelGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.next_collects.append(refuse("UNAUTHORIZED", status=401))

    payment = begin()

    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "invalid_api_key")
    assert "because of our settings" in caplog.text


def test_lost_answer_is_unknown_and_never_sent_again(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)

    payment = begin()

    assert (payment.status, payment.detail) == ("unknown", "checking")
    gateway.last().approve()
    assert run_until_told(payment, clock).status == "successful"
    assert len(gateway.charges) == 1
    assert moves(payment) == ["sending", "unknown", "pending", "successful"]


# --- what surely never left is sent again ---------------------------------------------------------------


def test_what_never_left_goes_back_and_is_sent_later(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(cannot_reach)

    payment = begin()

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail, attempt.sent_at) == ("created", "queued", None)
    assert attempt.next_poll_at == clock.at + timedelta(seconds=5)
    look_again(clock)
    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("pending", 1)


def test_waits_between_sendings_grow_to_two_minutes(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects += [cannot_reach] * 7
    begin()
    waits = []

    for _ in range(7):
        due_at = next_due_at()
        assert due_at is not None
        waits.append(round((due_at - clock.at).total_seconds()))
        clock.advance_to(due_at)
        sweep()

    assert waits == [5, 10, 20, 40, 80, 120, 120]


def test_what_was_not_sent_in_time_expires_on_time(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    """However long it cannot be sent: the payer is told at the expiry."""
    gateway.next_collects = [cannot_reach] * sending.MOST_SENDS
    started_at = clock.at

    payment = run_until_told(begin(), clock)

    assert (payment.status, clock.at) == ("expired", started_at + timedelta(seconds=900))
    assert gateway.charges == []
    assert signals.names() == ["payment_failed"]
    assert next_due_at() is None


# --- the worker sends -----------------------------------------------------------------------------------


def test_queued_payment_is_sent_by_the_worker(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")

    payment = begin()

    assert (payment.status, payment.detail, gateway.charges) == ("created", "queued", [])
    sweep()
    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("pending", 1)


def test_synchronous_provider_is_always_sent_by_the_worker(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(provider="moov_bj")

    assert (payment.status, gateway.charges) == ("created", [])
    sweep()
    assert len(gateway.charges) == 1


def test_queued_payment_that_nobody_sent_in_time_expires(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    clock.advance(900)

    sweep()

    payment.refresh_from_db()
    attempt = only_attempt(payment)
    assert (payment.status, attempt.sent_at, attempt.next_poll_at) == ("expired", None, None)
    assert gateway.charges == []


def test_provider_switched_off_between_start_and_send_is_refused(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    Provider.objects.filter(code="mtn_bj").update(enabled=False)

    sweep()

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "provider_disabled")
    assert gateway.charges == []


def test_sender_that_died_is_unknown_after_its_lease_and_never_sent_again(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    charge = gateway.last()
    _forget_the_answer(payment, clock)

    sweep()
    payment.refresh_from_db()
    assert payment.status == "unknown"
    charge.approve()

    assert run_until_told(payment, clock).status == "successful"
    assert len(gateway.charges) == 1


def _forget_the_answer(payment: Payment, clock: Clock) -> None:
    """The rows as they stood when the sender died."""
    Attempt.objects.filter(payment=payment).update(status="sending", gateway_reference=None, next_poll_at=clock.at)
    Payment.objects.filter(pk=payment.pk).update(status="sending")


def test_sender_that_comes_back_after_its_lease_still_writes_the_reference(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Slower than its lease: meanwhile a sweep called it lost."""

    def slow(charge: Charge) -> WireReply:
        clock.advance(46)
        sweep()
        return accept(charge)

    gateway.next_collects.append(slow)

    payment = begin()

    assert payment.status == "pending"
    assert moves(payment) == ["sending", "unknown", "pending"]


# --- one reference, one attempt -------------------------------------------------------------------------


def test_reference_of_another_attempt_is_never_taken(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """FeexPay gives one reference twice: the second attempt is looked for by its own id."""
    first = begin(merchant_reference="one")
    gateway.next_collects.append(accept_as("ref-0001"))

    second = begin(merchant_reference="two")

    assert second.status == "unknown"
    assert only_attempt(second).gateway_reference is None
    assert only_attempt(first).gateway_reference == "ref-0001"
    assert PaymentEvent.objects.filter(because="reference_conflict").count() == 1


def test_reference_found_twice_in_history_goes_to_staff(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    begin(merchant_reference="one")
    gateway.next_collects.append(accept_as("ref-0001"))
    second = begin(merchant_reference="two")

    clock.advance(6)
    sweep()

    second.refresh_from_db()
    assert (second.status, only_attempt(second).gateway_reference) == ("review", None)
    assert signals.names(second) == ["payment_needs_review"]


@pytest.mark.django_db(transaction=True)
def test_reference_conflict_in_review_is_looked_at_ever_more_slowly(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Not at every end of a lease, for ever."""
    begin(merchant_reference="one")
    gateway.next_collects.append(accept_as("ref-0001"))
    second = begin(merchant_reference="two")
    for _ in range(3):
        attempt = only_attempt(second)
        assert attempt.next_poll_at is not None
        clock.advance_to(attempt.next_poll_at)
        sweep()

    clock.advance(8 * 86_400)
    sweep()

    next_poll_at = only_attempt(second).next_poll_at
    assert next_poll_at is not None
    assert next_poll_at > clock.at + timedelta(hours=20)


def test_refused_order_writes_nothing_and_sends_nothing(begin: Begin, gateway: ModelGateway) -> None:
    with pytest.raises(NotAllowedError):
        begin(amount=0)

    assert (Payment.objects.count(), Attempt.objects.count(), gateway.charges) == (0, 0, [])


def test_fee_is_on_top_when_the_payer_bears_it(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    configure(FEE_PAYER="payer")

    payment = begin()

    assert (payment.amount, payment.fee, payment.charged_amount) == (5000, 85, 5085)
    assert gateway.last().amount == 5085


def test_number_sealed_with_a_lost_key_is_a_refusal_and_an_error_in_the_log(
    begin: Begin, gateway: ModelGateway, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    configure(FIELD_KEYS=["YW5vdGhlci1maWVsZC1rZXktMzItYnl0ZXMtbG9uZyE="])

    sweep()

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "msisdn_erased")
    assert gateway.charges == []
    assert "cannot be sent" in caplog.text


def test_claim_on_an_attempt_that_somebody_else_is_sending_sends_nothing(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    [held] = leases.claim_due(10, unsent=True)
    Attempt.objects.filter(payment=payment).update(status="sending")

    sending.send_due(held, source=Source.WORKER)

    assert gateway.charges == []


def test_another_broken_rule_than_the_reference_is_not_taken_for_a_lost_answer(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> bool:
        raise IntegrityError("another rule")

    monkeypatch.setattr(ledger, "move", broken)

    with pytest.raises(IntegrityError, match="another rule"):
        begin()


def test_queued_attempt_of_an_order_that_is_paid_meanwhile_is_not_sent(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    late = run_until_told(begin(merchant_reference="order-1"), clock)
    configure(DISPATCH="queue")
    again = begin(merchant_reference="order-1")
    gateway.charges[0].approve()
    reconcile(only_attempt(late).pk, source=Source.WORKER)

    sweep()

    attempt = only_attempt(again)
    assert (len(gateway.charges), attempt.status, attempt.reason_code) == (1, "rejected", "already_credited")


def test_details_of_the_payer_are_in_no_repr() -> None:
    assert "Ama" not in repr(attempts.PayerDetails(first_name="Ama", otp="123456"))


def test_credited_payment_is_never_asked_for_again_by_a_queued_attempt(
    begin: Begin, gateway: ModelGateway, configure: Configure, signals: Recorder
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    Payment.objects.filter(pk=payment.pk).update(status="successful")

    sweep()

    assert (gateway.charges, only_attempt(payment).reason_code) == ([], "already_credited")
    assert signals.names() == []


def test_answer_survives_whoever_only_looks_on(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The breaker reads the database's clock, and that may be away just then."""

    def stumble(seen: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(conf, "_observers", [stumble])

    payment = begin()

    assert (payment.status, payment.attempt.gateway_reference) == ("pending", gateway.last().reference)
    assert "an observer failed: OperationalError" in caplog.text
