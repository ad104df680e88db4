"""Start and send: the intent is stored before the gateway is called, and nothing is sent twice."""

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
from tests.payments.fakes import (
    Clock,
    Recorder,
    moves,
    next_due_at,
    only_attempt,
    sweep,
    sweep_at_next_poll,
    sweep_until_final,
)

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

    def record(charge: Charge) -> WireReply:
        seen.extend(Attempt.objects.values_list("status", flat=True))
        return accept(charge)

    gateway.next_collects.append(record)
    begin()

    assert seen == ["sending"]


def test_page_in_the_answer_becomes_the_redirect_url(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects.append(accept_as("ref-1", payment_url="https://pay.test/1"))

    payment = begin()

    assert (payment.detail, payment.attempt.redirect_url) == ("redirect", "https://pay.test/1")


@pytest.mark.parametrize("word", ["SUCCESSFUL", "FAILED"])
def test_final_status_in_the_answer_only_makes_the_attempt_due(
    begin: Begin, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    gateway.next_collects.append(accept_as("ref-1", status=word))

    payment = begin()

    assert payment.status == "pending"
    assert only_attempt(payment).next_poll_at == clock.at


def test_refusal_ends_the_payment_at_once_with_its_reason(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse("PAYER_NOT_FOUND"))

    payment = begin()

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail) == ("rejected", "refused")
    assert (attempt.reason_code, attempt.next_poll_at) == ("payer_not_found", None)
    assert payment.settled_at is not None


def test_wrong_api_key_rejects_the_attempt_and_logs_an_error(
    begin: Begin, gateway: ModelGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.next_collects.append(refuse("UNAUTHORIZED", status=401))

    payment = begin()

    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "invalid_api_key")
    assert "because of our settings" in caplog.text


def test_lost_answer_is_unknown_and_never_resent(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)

    payment = begin()

    assert (payment.status, payment.detail) == ("unknown", "checking")
    gateway.last().approve()
    assert sweep_until_final(payment, clock).status == "successful"
    assert len(gateway.charges) == 1
    assert moves(payment) == ["sending", "unknown", "pending", "successful"]


# --- requests that never left are resent --------------------------------------------------------------


def test_request_that_never_left_is_put_back_and_resent(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(cannot_reach)

    payment = begin()

    attempt = only_attempt(payment)
    assert (payment.status, payment.detail, attempt.sent_at) == ("created", "queued", None)
    assert attempt.next_poll_at == clock.at + timedelta(seconds=5)
    sweep_at_next_poll(clock)
    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("pending", 1)


def test_back_off_between_sends_grows_to_two_minutes(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
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


def test_attempt_that_never_left_expires_at_its_expiry(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    """The expiry does not move each time the attempt is put back for sending."""
    gateway.next_collects = [cannot_reach] * sending.MAX_SENDS
    started_at = clock.at

    payment = sweep_until_final(begin(), clock)

    assert (payment.status, clock.at) == ("expired", started_at + timedelta(seconds=900))
    assert gateway.charges == []
    assert signals.names() == ["payment_failed"]
    assert next_due_at() is None


def test_push_expiry_is_shorter_where_the_host_says_so_and_never_below_the_life_of_the_prompt(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    """A payer who mistyped the number may pay again sooner; a prompt that still lives is never outlived."""
    configure(PUSH_EXPIRY_SECONDS="mtn_bj:420,celtiis_bj:60,coris_bj:300")

    lasts = {
        provider: only_attempt(begin(provider=provider)).expires_at - clock.at
        for provider in ("mtn_bj", "celtiis_bj", "coris_bj")
    }

    assert [last.total_seconds() for last in lasts.values()] == [420, 300, 900]


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


def test_queued_payment_that_was_not_sent_in_time_expires(
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


def test_provider_switched_off_between_start_and_send_rejects_the_attempt(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    Provider.objects.filter(code="mtn_bj").update(enabled=False)

    sweep()

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "provider_disabled")
    assert gateway.charges == []


def test_attempt_of_a_dead_sender_is_unknown_after_its_lease_and_never_resent(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    charge = gateway.last()
    _kill_the_sender(payment, clock)

    sweep()
    payment.refresh_from_db()
    assert payment.status == "unknown"
    charge.approve()

    assert sweep_until_final(payment, clock).status == "successful"
    assert len(gateway.charges) == 1


def _kill_the_sender(payment: Payment, clock: Clock) -> None:
    """Set the rows to what they were when the sender died."""
    Attempt.objects.filter(payment=payment).update(status="sending", gateway_reference=None, next_poll_at=clock.at)
    Payment.objects.filter(pk=payment.pk).update(status="sending")


def test_sender_that_comes_back_after_its_lease_still_writes_the_reference(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """It is slower than its lease, and the worker marks it UNKNOWN in the meantime."""

    def slow(charge: Charge) -> WireReply:
        clock.advance(46)
        sweep()
        return accept(charge)

    gateway.next_collects.append(slow)

    payment = begin()

    assert payment.status == "pending"
    assert moves(payment) == ["sending", "unknown", "pending"]


# --- one reference, one attempt -------------------------------------------------------------------------


def test_reference_of_another_attempt_is_never_stored(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """FeexPay gives one reference twice: the second attempt is searched for by its own id."""
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
def test_reference_conflict_in_review_is_polled_less_and_less(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """An earlier version polled it at the end of each lease, for ever."""
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


def test_invalid_request_writes_nothing_and_sends_nothing(begin: Begin, gateway: ModelGateway) -> None:
    with pytest.raises(NotAllowedError):
        begin(amount=0)

    assert (Payment.objects.count(), Attempt.objects.count(), gateway.charges) == (0, 0, [])


def test_fee_is_added_when_the_payer_pays_it(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    configure(FEE_PAYER="payer")

    payment = begin()

    assert (payment.amount, payment.fee, payment.charged_amount) == (5000, 85, 5085)
    assert gateway.last().amount == 5085


def test_number_encrypted_with_a_lost_key_rejects_the_attempt_and_logs_an_error(
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


def test_claim_on_an_attempt_that_is_being_sent_sends_nothing(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    [held] = leases.claim_due(10, unsent=True)
    Attempt.objects.filter(payment=payment).update(status="sending")

    sending.send_due(held, source=Source.WORKER)

    assert gateway.charges == []


def test_other_integrity_errors_than_a_reference_conflict_are_raised(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> bool:
        raise IntegrityError("another rule")

    monkeypatch.setattr(ledger, "move", broken)

    with pytest.raises(IntegrityError, match="another rule"):
        begin()


def test_queued_attempt_of_an_order_that_was_paid_in_the_meantime_is_not_sent(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    late = sweep_until_final(begin(merchant_reference="order-1"), clock)
    configure(DISPATCH="queue")
    again = begin(merchant_reference="order-1")
    gateway.charges[0].approve()
    reconcile(only_attempt(late).pk, source=Source.WORKER)

    sweep()

    attempt = only_attempt(again)
    assert (len(gateway.charges), attempt.status, attempt.reason_code) == (1, "rejected", "already_credited")


def test_repr_hides_the_payers_details() -> None:
    assert "Ama" not in repr(attempts.PayerDetails(first_name="Ama", otp="123456"))


def test_queued_attempt_of_a_credited_payment_is_not_sent(
    begin: Begin, gateway: ModelGateway, configure: Configure, signals: Recorder
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    Payment.objects.filter(pk=payment.pk).update(status="successful")

    sweep()

    assert (gateway.charges, only_attempt(payment).reason_code) == ([], "already_credited")
    assert signals.names() == []


def test_failing_observer_does_not_lose_the_answer(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The circuit breaker is an observer that reads the database's clock, and that can fail."""

    def failing(seen: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(conf, "_observers", [failing])

    payment = begin()

    assert (payment.status, payment.attempt.gateway_reference) == ("pending", gateway.last().reference)
    assert "an observer failed: OperationalError" in caplog.text
