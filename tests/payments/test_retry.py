"""A retry opens a new attempt only if the earlier ones surely took no money."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.transport import Transport, WireReply, WireRequest
from django_feexpay.models import Attempt, Credit, Payment, Provider
from django_feexpay.models.payment import listed_payments, read_payments
from django_feexpay.payments import idempotency, outbox
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.payer_options import can_retry
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, lose_the_answer, refuse
from tests.payments.fakes import Clock, Guard, Recorder, sweep, sweep_until_final

pytestmark = pytest.mark.django_db


@pytest.fixture
def declined(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    payment = begin()
    gateway.last().decline()
    return sweep_until_final(payment, clock)


def again(payment: Payment, **changes: Any) -> Payment:
    return retry(payment.pk, source=Source.API, **changes)


def refusal(payment: Payment, *, of_another: int = 0, **changes: Any) -> str:
    """The code of the refusal. `of_another`: attempts of other payments that are started in the meantime."""
    asked_before = Attempt.objects.count()
    with pytest.raises(NotAllowedError) as refused:
        again(payment, **changes)
    assert Attempt.objects.count() == asked_before + of_another
    return refused.value.code


def test_declined_payment_can_be_retried(
    declined: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = again(declined)

    assert (payment.pk, payment.status, payment.attempt.ordinal) == (declined.pk, "pending", 2)
    gateway.last().approve()
    assert sweep_until_final(payment, clock).status == "successful"
    assert Credit.objects.get(payment=payment).attempt.ordinal == 2
    assert len(gateway.charges) == 2


def test_retry_is_refused_if_its_order_is_started_again_in_the_meantime(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FeexPay answers slowly, and the payer starts the same order on another device."""
    payment = begin(merchant_reference="order-7")
    gateway.last().decline()
    sweep_until_final(payment, clock)
    ask = gateway._status

    def ask_slowly(reference: str) -> WireReply:
        begin(merchant_reference="order-7")
        return ask(reference)

    monkeypatch.setattr(gateway, "_status", ask_slowly)

    assert refusal(payment, of_another=1) == "duplicate_payment"
    assert (payment.attempts.count(), len(gateway.charges)) == (1, 2)


def test_refused_payment_can_be_retried(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(refuse())
    payment = begin()
    gateway.forget(gateway.last())

    assert again(payment).status == "pending"


def test_payment_that_was_never_sent_can_be_retried(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    clock.advance(900)
    sweep()

    assert again(payment).status == "created"
    sweep()
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("said", ["PENDING", "ON HOLD"])
def test_open_payment_cannot_be_retried(begin: Begin, gateway: ModelGateway, clock: Clock, said: str) -> None:
    payment = begin()
    gateway.last().lies = {"status": said}

    assert refusal(payment) == "payment_open"


def test_expired_payment_can_be_retried_only_after_the_gateway_reports_a_failure(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = sweep_until_final(begin(), clock)
    assert refusal(payment) == "payment_open"

    gateway.last().decline()

    assert again(payment).attempt.ordinal == 2


def test_retry_asks_the_gateway_first(declined: Payment, gateway: ModelGateway, clock: Clock) -> None:
    """The payer confirmed after the failure, and no poll has seen it yet."""
    gateway.last().approve()

    assert refusal(declined) == "not_retryable"

    assert Payment.objects.get().status == "successful"
    assert len(gateway.charges) == 1


def test_failure_that_the_gateway_takes_back_cannot_be_retried(
    declined: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.last().lies = {"status": "PENDING"}

    assert refusal(declined) == "payment_open"


def test_refused_attempt_that_was_charged_is_found_in_history(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects.append(refuse())
    payment = begin()
    gateway.last().approve()

    assert refusal(payment) == "not_retryable"

    assert Payment.objects.get().status == "successful"


def test_lost_attempt_cannot_be_retried(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(lose_the_answer)
    payment = begin()
    gateway.forget(gateway.last())

    assert refusal(payment) == "payment_open"


def test_declined_payment_cannot_be_retried_while_feexpay_does_not_answer(
    declined: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    """The stored failure may be a success by now."""
    gateway.reads_unanswered = True

    assert refusal(declined) == "gateway_unavailable"


@pytest.mark.parametrize("who", ["player", "guest"])
@pytest.mark.parametrize("paid", [False, True], ids=["being paid", "paid"])
def test_payment_of_an_order_that_another_payment_pays_cannot_be_retried(
    paid: bool, who: str, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payer = {"user": None} if who == "guest" else {}
    first = begin(merchant_reference="order-1", **payer)
    gateway.last().decline()
    sweep_until_final(first, clock)
    assert can_retry(read_payments().get(pk=first.pk))
    second = begin(merchant_reference="order-1", **payer)
    if paid:
        gateway.last().approve()
        sweep_until_final(second, clock)

    with pytest.raises(NotAllowedError) as refused:
        again(first)

    assert (refused.value.code, refused.value.payment_id) == ("duplicate_payment", second.pk)
    assert len(gateway.charges) == 2
    assert Payment.objects.for_reading().get(pk=first.pk).paid_elsewhere  # so that no client offers a retry
    assert not can_retry(listed_payments().get(pk=first.pk))


def test_guest_may_retry_whatever_others_pay(begin: Begin, gateway: ModelGateway, clock: Clock, player: User) -> None:
    """Orders of guests, orders of users and payments without a reference are apart."""
    failed = [begin(merchant_reference=reference, user=None) for reference in ("order-1", "")]
    for charge in gateway.charges:
        charge.decline()
    for payment in failed:
        sweep_until_final(payment, clock)
    clock.advance(3600)
    begin(merchant_reference="order-1", user=player)
    begin(merchant_reference="order-2", user=None, phone="01 61 00 00 52")
    begin(merchant_reference="", user=None, phone="01 61 00 00 53")

    assert [can_retry(read_payments().get(pk=payment.pk)) for payment in failed] == [True, True]


def test_retry_at_an_old_price_is_refused(declined: Payment, configure: Configure) -> None:
    configure(PAYABLE="tests.payments.test_retry.higher_price")

    assert refusal(declined) == "validation_error"


def higher_price(*, amount: int, **facts: Any) -> int:
    return amount + 1


def test_paid_payment_cannot_be_retried(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)

    assert refusal(payment) == "not_retryable"


def test_retry_with_a_disabled_provider_is_refused(declined: Payment) -> None:
    Provider.objects.filter(code="mtn_bj").update(enabled=False, disabled_reason="off")

    assert refusal(declined) == "provider_unavailable"


def test_retry_can_use_another_number(declined: Payment, gateway: ModelGateway) -> None:
    payment = again(declined, phone="+229 01 61 00 00 77")

    assert payment.attempt.masked_msisdn == "+229 01 •• •• •• 77"
    assert gateway.last().msisdn == "2290161000077"


@pytest.mark.parametrize(("limits", "code"), [({"max_amount": 4999}, "max_value"), ({"min_amount": 5001}, "min_value")])
def test_retry_is_checked_against_todays_limits(declined: Payment, limits: dict[str, int], code: str) -> None:
    Provider.objects.filter(code="mtn_bj").update(**limits)

    with pytest.raises(NotAllowedError) as refused:
        again(declined)

    assert [(error.field, error.code) for error in refused.value.errors] == [("amount", code)]
    assert Attempt.objects.count() == 1


class SlowAnswers:
    """A transport in which each question takes `seconds` of a clock that only these tests read."""

    def __init__(self, inner: Transport, seconds: float) -> None:
        self.inner, self.seconds = inner, seconds
        self.spent = 0.0

    def monotonic(self) -> float:
        return self.spent

    def exchange(self, request: WireRequest) -> WireReply:
        if "/requesttopay/" not in request.url:
            self.spent += min(self.seconds, request.timeouts.total)
            if self.seconds > request.timeouts.total:
                raise OutcomeUnknownError("no answer in time")
        return self.inner.exchange(request)


@pytest.fixture
def failed_three_times(declined: Payment, gateway: ModelGateway, clock: Clock) -> Payment:
    for _ in range(2):
        payment = again(declined)
        gateway.last().decline()
        sweep_until_final(payment, clock)
    return payment


@pytest.mark.parametrize("seconds", [1.0, 2.0, 9.0])
def test_earlier_attempts_are_asked_about_within_five_seconds_in_all(
    failed_three_times: Payment,
    gateway: ModelGateway,
    guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """Three slow answers held a web thread for 27 s."""
    slow = SlowAnswers(gateway, seconds)
    guard.inner = slow
    monkeypatch.setattr("django_feexpay.payments.retry.time", slow)

    if seconds == 1.0:
        assert again(failed_three_times).attempt.ordinal == 4
    else:
        with pytest.raises(NotAllowedError) as refused:
            again(failed_three_times)
        assert (refused.value.code, refused.value.retry_after_seconds) == ("gateway_unavailable", 30)
        assert Attempt.objects.count() == 3
    assert slow.spent <= 5.0
    assert len(gateway.charges) == (4 if seconds == 1.0 else 3)


def test_history_and_status_of_a_refused_attempt_share_the_five_seconds(
    begin: Begin, gateway: ModelGateway, guard: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.next_collects.append(refuse())
    payment = begin()
    gateway.last().decline()
    slow = SlowAnswers(gateway, 3.0)
    guard.inner = slow
    for module in ("retry", "reconciliation.history"):
        monkeypatch.setattr(f"django_feexpay.payments.{module}.time", slow)

    with suppress(NotAllowedError):
        again(payment)

    assert 0 < slow.spent <= 5.0


def test_attempt_that_was_never_sent_needs_no_answer(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    clock.advance(900)
    sweep()
    gateway.reads_unanswered = True

    assert again(payment).attempt.ordinal == 2


def test_wrong_number_is_refused_by_its_field(declined: Payment) -> None:
    with pytest.raises(NotAllowedError) as refused:
        again(declined, phone="123")

    assert [(error.field, error.code) for error in refused.value.errors] == [("phone", "wrong_length")]


def test_retry_needs_the_number_again_after_its_erasure(declined: Payment) -> None:
    Attempt.objects.update(msisdn_sealed=None)

    with pytest.raises(NotAllowedError) as refused:
        again(declined)

    assert [(error.field, error.code) for error in refused.value.errors] == [("phone", "required")]
    assert again(declined, phone="0161000050").attempt.ordinal == 2


def test_key_of_a_retry_replays(declined: Payment, gateway: ModelGateway, player: Any, clock: Clock) -> None:
    key = idempotency.key_of(player, "retry-1", "retry", {"id": str(declined.pk)})
    again(declined, key=key)

    clock.advance(90)
    with pytest.raises(AlreadyAnswered) as answered:
        again(declined, key=key)

    assert answered.value.payment_id == declined.pk
    assert len(gateway.charges) == 2


def test_retry_by_staff_records_actor_and_note(declined: Payment) -> None:
    again(declined, actor="7", note="payer rang")

    event = declined.events.filter(because="retried").get()
    assert (event.actor, event.note, event.from_status, event.to_status) == ("7", "payer rang", "", "sending")


def test_two_paid_attempts_make_one_credit_and_one_incident(
    declined: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = again(declined)
    first, second = gateway.charges
    second.approve()
    sweep_until_final(payment, clock)
    first.approve()
    clock.advance(600)
    sweep()

    assert Credit.objects.count() == 1
    assert [incident.attempt.ordinal for incident in payment.incidents.all()] == [1]
    assert signals.names().count("duplicate_charge_found") == 1


def test_queued_attempt_of_a_payment_credited_in_the_meantime_is_not_sent(
    declined: Payment, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    """The first attempt succeeds late, between the retry and its sending."""
    configure(DISPATCH="queue")
    again(declined)
    first = Attempt.objects.get(ordinal=1)
    gateway.last().approve()
    reconcile(first.pk, source=Source.WORKER)

    sweep()

    assert len(gateway.charges) == 1
    payment = Payment.objects.get()
    assert (payment.status, payment.attempt.status) == ("successful", "rejected")
    assert Credit.objects.get().attempt == first


@pytest.fixture
def doubted(begin: Begin, gateway: ModelGateway, signals: Recorder) -> Payment:
    """Two attempts: the first failed, and FeexPay says later that it took 4 999; the second waits for its payer."""
    payment = begin(merchant_reference="order-7")
    gateway.last().decline()
    settle(payment, 1)
    again(payment)
    gateway.charges[0].approve()
    gateway.charges[0].lies["amount"] = 4999
    settle(payment, 1)
    assert list(payment.attempts.values_list("status", flat=True)) == ["review", "pending"]
    return payment


def settle(payment: Payment, ordinal: int) -> str:
    """Ask FeexPay about an attempt; the payment's status afterwards."""
    reconcile(Attempt.objects.get(payment=payment, ordinal=ordinal).pk, source=Source.WORKER)
    payment.refresh_from_db()
    return payment.status


def test_payment_is_under_review_while_an_earlier_attempt_may_be_paid(
    doubted: Payment, begin: Begin, gateway: ModelGateway, signals: Recorder
) -> None:
    assert doubted.status == "pending"
    gateway.charges[1].decline()

    assert settle(doubted, 2) == "review"

    assert (doubted.detail, doubted.settled_at) == ("under_review", None)
    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        begin(merchant_reference="order-7")
    assert refusal(doubted) == "payment_open"
    outbox.deliver()
    assert signals.names(doubted) == ["payment_failed", "payment_needs_review"]
    assert len(gateway.charges) == 2
    assert [str(violation) for violation in violations()] == []


def test_failed_payment_comes_under_review_with_its_earlier_attempt(
    begin: Begin, gateway: ModelGateway, signals: Recorder
) -> None:
    payment = begin(merchant_reference="order-7")
    gateway.last().decline()
    settle(payment, 1)
    again(payment)
    gateway.charges[1].decline()
    assert settle(payment, 2) == "failed"
    gateway.charges[0].approve()
    gateway.charges[0].lies["amount"] = 4999

    assert settle(payment, 1) == "review"

    gateway.charges[0].decline()  # FeexPay decides it after all
    gateway.charges[0].lies.clear()
    assert settle(payment, 1) == "failed"
    assert payment.settled_at is not None
    outbox.deliver()
    assert signals.names(payment) == ["payment_failed", "payment_failed", "payment_needs_review", "payment_failed"]
    assert [str(violation) for violation in violations()] == []


def test_verify_reports_a_failure_that_hides_a_review(doubted: Payment, gateway: ModelGateway) -> None:
    gateway.charges[1].decline()
    settle(doubted, 2)
    Payment.objects.update(status="failed")

    assert [str(violation) for violation in violations(["I2"])] == [
        f"I2 payment {doubted.pk}: failed, an earlier attempt is under review"
    ]
