"""After an answer that may hide a charge nothing is resent; FeexPay is asked until the outcome is known."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Credit, Payment, WebhookDelivery
from django_feexpay.payments import retry as retrying
from django_feexpay.payments import sending, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation.run import begin as compare_days
from django_feexpay.payments.reconciliation.run import compare
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import (
    Charge,
    ModelGateway,
    answer_429,
    cannot_reach,
    charge_and_answer,
    refuse,
    refuse_the_page,
    refuse_without_charge,
    reply,
)
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

RATE_LIMITED = {"code": "RATE_LIMIT_EXCEEDED", "message": "slow down"}
MAINTENANCE = {"code": "NETWORK_UNAVAILABLE", "message": "maintenance"}
BAD_REQUEST = {"message": "Bad Request"}

CHARGED = {
    "429 named": charge_and_answer(429, RATE_LIMITED, names_it=True),
    "429 bare": charge_and_answer(429, RATE_LIMITED, names_it=False),
    "400 named": charge_and_answer(400, BAD_REQUEST, names_it=True),
    "400 validation named": charge_and_answer(400, {"message": "Validation failed"}, names_it=True),
    "401 named": charge_and_answer(401, {"code": "UNAUTHORIZED"}, names_it=True),
    "500 bare": charge_and_answer(500, {"message": "Internal server error"}, names_it=False),
    "500 named": charge_and_answer(500, {"message": "Internal server error"}, names_it=True),
    "503 bare": charge_and_answer(503, MAINTENANCE, names_it=False),
    "503 named": charge_and_answer(503, MAINTENANCE, names_it=True),
}


def pass_time(clock: Clock, seconds: int) -> None:
    """Move the clock, with a round of the worker at each due time."""
    end = clock.at + timedelta(seconds=seconds)
    while (instant := next_due_at()) is not None and instant <= end:
        clock.advance_to(instant)
        sweep()
    clock.advance_to(end)


@pytest.fixture
def refused(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A payment that FeexPay refused with an undocumented text, and charged."""
    gateway.next_collects = [charge_and_answer(400, BAD_REQUEST, names_it=False)]
    return begin(merchant_reference="order-1")


# --- collect ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CHARGED)
@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_doubtful_answer_is_never_resent_and_its_one_charge_is_credited(
    case: str, dispatch: str, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, signals: Recorder
) -> None:
    """Each further request would get the same answer and be charged again."""
    configure(DISPATCH=dispatch)
    gateway.next_collects = [CHARGED[case]] * 12
    payment = begin()
    pass_time(clock, 3)
    payment.refresh_from_db()
    assert (payment.status, payment.detail) == ("unknown", "checking")
    gateway.last().approve()

    pass_time(clock, 1000)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges), len(gateway.next_collects)) == ("successful", 1, 11)
    assert Credit.objects.get().payment == payment
    assert signals.names() == ["payment_succeeded"]


@pytest.mark.parametrize("case", CHARGED)
def test_true_webhook_makes_the_attempt_due(case: str, begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [CHARGED[case]]
    payment = begin()
    clock.advance(6)
    gateway.reads_unanswered = True
    sweep()
    gateway.reads_unanswered = False
    gateway.last().approve()

    webhook_hints.receive(hint_from(gateway.last().truth()))
    clock.advance(3)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"


@pytest.mark.parametrize("case", CHARGED)
def test_nightly_comparison_finds_an_attempt_that_is_not_polled(
    case: str, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    clock.at = clock.at.replace(hour=12)
    gateway.next_collects = [CHARGED[case]]
    payment = begin()
    gateway.last().approve()
    Attempt.objects.update(next_poll_at=None)
    day = clock.at.date()
    clock.advance(2 * 86_400)

    compare(compare_days(day, day), source=Source.COMMAND)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("successful", 1)


def test_pause_after_429_refuses_new_payments_before_anything_is_written(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [answer_429(30)]
    begin(merchant_reference="first")

    with pytest.raises(NotAllowedError) as refusal:
        begin(merchant_reference="second")

    assert (refusal.value.code, refusal.value.retry_after_seconds) == ("gateway_unavailable", 30)
    assert Payment.objects.count() == 1
    clock.advance(30)
    assert begin(merchant_reference="second").status == "pending"


def test_page_answer_that_names_a_payment_is_searched_for_and_not_requested_again(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_pages = [lambda url: reply(400, {"message": "Validation failed", "reference": "card-0001"})]
    payment = begin(provider="visa", phone="")
    assert (payment.status, payment.detail) == ("unknown", "checking")
    charge = gateway.pay_on_page()
    charge.approve()

    pass_time(clock, 60)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.pages)) == ("successful", 1)
    assert only_attempt(payment).gateway_reference == charge.reference


def test_page_answer_that_names_a_payment_without_a_charge_expires(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_pages = [lambda url: reply(500, {"message": "oops", "reference": "card-0001"})]
    payment = begin(provider="visa", phone="")

    pass_time(clock, 86_400 + 1200)

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).reason_code) == ("expired", "never_arrived")


def test_page_of_an_operator_in_maintenance_is_rejected(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_pages = [refuse_the_page("NETWORK_UNAVAILABLE", 503)]

    payment = begin(provider="visa", phone="")

    assert (payment.status, payment.attempt.reason_code) == ("rejected", "network_unavailable")


# --- refusals with an undocumented text ---------------------------------------------------------------------


def test_doubtful_refusal_is_shown_as_refused_and_polled_like_a_failure(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [refuse_without_charge(400, {"statusCode": 400, "message": "Bad Request"})]
    payment = begin()
    assert (payment.status, payment.detail) == ("rejected", "refused")
    began_at, looks = clock.at, []

    while (instant := next_due_at()) is not None:
        clock.advance_to(instant)
        looks.append(round((clock.at - began_at).total_seconds()))
        sweep()

    assert looks == [60, 600, 3600, 86_400]
    assert moves(payment) == ["sending", "rejected"]


@pytest.mark.parametrize(
    ("changes", "due"),
    [({}, True), ({"reason_code": "invalid_phone"}, False), ({"settled_at": timedelta(days=-2)}, False)],
)
def test_migration_makes_recent_doubtful_refusals_due(
    changes: dict[str, Any], due: bool, refused: Payment, clock: Clock
) -> None:
    facts = {"next_poll_at": None} | changes
    if "settled_at" in facts:
        facts["settled_at"] = clock.at + facts["settled_at"]
    Attempt.objects.update(**facts)

    migration = import_module("django_feexpay.migrations.0008_ask_about_doubtful_refusals")
    migration.make_due(apps, SimpleNamespace(connection=connection))

    assert (only_attempt(refused).next_poll_at is not None) is due


def test_retry_of_an_attempt_that_waits_to_be_sent_asks_nothing(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [cannot_reach]
    payment = begin()

    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(payment.pk, source=Source.API)

    assert gateway.questions == 0


def test_documented_refusal_is_not_polled(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse_without_charge(400, {"statusCode": 400, "message": "Validation failed"})]

    begin()

    assert next_due_at() is None


@pytest.mark.parametrize("message", ["Bad Request", "Not Found", "Celtiis BJ API Error", "ERR_TRANSACTION_FAILED"])
def test_refused_attempt_that_was_charged_is_credited(
    message: str, begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    gateway.next_collects = [charge_and_answer(400, {"message": message}, names_it=False)]
    payment = begin()
    gateway.last().approve()

    pass_time(clock, 60)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.charges)) == ("successful", 1)
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_refused_attempt_that_is_pending_at_feexpay_goes_to_review_and_blocks_a_retry(
    refused: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    """The payer's phone still shows FeexPay's prompt."""
    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(refused.pk, source=Source.API)

    assert len(gateway.charges) == 1
    assert only_attempt(refused).status == "review"


def test_retry_of_a_doubtful_refusal_asks_first(refused: Payment, gateway: ModelGateway, clock: Clock) -> None:
    gateway.last().approve()

    with pytest.raises(NotAllowedError, match="not_retryable"):
        retry(refused.pk, source=Source.API)

    assert (len(gateway.charges), Credit.objects.count()) == (1, 1)


@pytest.mark.parametrize("trouble", ["unavailable", "cut"])
def test_retry_of_a_doubtful_refusal_is_refused_while_history_cannot_be_read(
    trouble: str, refused: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.reads_unanswered = trouble == "unavailable"
    gateway.charges.clear()
    gateway.history_total = 501 if trouble == "cut" else None

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(refused.pk, source=Source.API)
    assert (gateway.charges, Attempt.objects.count()) == ([], 1)

    gateway.reads_unanswered, gateway.history_total = False, None
    assert retry(refused.pk, source=Source.API).attempt.ordinal == 2
    assert len(gateway.charges) == 1


def test_retry_of_a_documented_refusal_needs_no_history(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [refuse_without_charge(400, {"statusCode": 400, "message": "Validation failed"})]
    payment = begin()
    gateway.reads_unanswered = True

    assert retry(payment.pk, source=Source.API).attempt.ordinal == 2


def test_retry_after_a_connection_reset_is_refused(
    refused: Payment, gateway: ModelGateway, clock: Clock, guard: Any
) -> None:
    class Broken:
        def exchange(self, request: Any) -> WireReply:
            raise OutcomeUnknownError("reset")

    guard.inner = Broken()

    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(refused.pk, source=Source.API)


# --- requests that were reported as never sent --------------------------------------------------------


@pytest.fixture
def unsent(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A payment that waits to be resent."""
    gateway.next_collects = [cannot_reach]
    payment = begin()
    assert payment.status == "created"
    return payment


def charge_anyway(payment: Payment, gateway: ModelGateway) -> Charge:
    """FeexPay charges it although we believe that it never left."""
    attempt = only_attempt(payment)
    charge = Charge("theirs", str(attempt.pk), "2290161000050", attempt.amount)
    gateway.charges.append(charge)
    return charge


def test_unsent_attempt_that_a_webhook_names_and_history_has_is_not_sent(
    unsent: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    charge = charge_anyway(unsent, gateway)
    webhook_hints.receive(hint_from(charge.truth()))

    sweep()

    attempt = only_attempt(unsent)
    assert (attempt.status, attempt.gateway_reference, attempt.sent_at) == ("pending", "theirs", attempt.created_at)
    assert moves(unsent) == ["sending", "created", "sending", "unknown", "pending"]
    assert WebhookDelivery.objects.get().attempt == attempt
    charge.approve()
    sweep_until_final(unsent, clock)
    assert (len(gateway.charges), signals.names()) == (1, ["payment_succeeded"])


def test_unsent_attempt_that_a_webhook_names_waits_while_history_cannot_be_read(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    charge = charge_anyway(unsent, gateway)
    webhook_hints.receive(hint_from(charge.truth()))
    gateway.reads_unanswered = True
    pass_time(clock, 200)
    assert (only_attempt(unsent).status, len(gateway.charges)) == ("created", 1)

    gateway.reads_unanswered = False
    pass_time(clock, 60)

    assert (only_attempt(unsent).status, len(gateway.charges)) == ("pending", 1)


def test_unsent_attempt_that_expires_while_history_cannot_be_read_is_still_searched_for(
    unsent: Payment, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    charge = charge_anyway(unsent, gateway)
    webhook_hints.receive(hint_from(charge.truth()))
    gateway.reads_unanswered = True
    pass_time(clock, 1000)
    assert (only_attempt(unsent).status, only_attempt(unsent).reason_code) == ("expired", "never_sent")
    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(unsent.pk, source=Source.API)

    gateway.reads_unanswered = False
    charge.approve()
    pass_time(clock, 900)

    unsent.refresh_from_db()
    assert (unsent.status, len(gateway.charges)) == ("successful", 1)
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_unsent_attempt_that_a_false_webhook_names_is_sent(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    webhook_hints.receive(
        hint_from({"reference": "forged", "status": "SUCCESSFUL", "callback_info": str(unsent.attempt.pk)})
    )

    sweep()

    assert (only_attempt(unsent).status, len(gateway.charges)) == ("pending", 1)


def test_webhook_about_an_expired_unsent_attempt_makes_it_due(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [cannot_reach] * sending.MAX_SENDS
    assert sweep_until_final(unsent, clock).status == "expired"
    charge = charge_anyway(unsent, gateway)
    charge.approve()

    webhook_hints.receive(hint_from(charge.truth()))
    clock.advance(5)
    sweep()

    unsent.refresh_from_db()
    assert unsent.status == "successful"
    assert only_attempt(unsent).sent_at is not None


def test_retry_finds_a_charge_of_an_unsent_attempt(unsent: Payment, gateway: ModelGateway, clock: Clock) -> None:
    clock.advance(900)
    sweep()
    assert only_attempt(unsent).status == "expired"
    charge_anyway(unsent, gateway)

    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(unsent.pk, source=Source.API)

    assert len(gateway.charges) == 1
    assert Payment.objects.for_reading().get(pk=unsent.pk).may_still_succeed


def test_question_about_an_unsent_attempt_does_not_delay_its_sending(
    unsent: Payment, gateway: ModelGateway, clock: Clock
) -> None:
    due_at = only_attempt(unsent).next_poll_at

    assert reconcile(only_attempt(unsent).pk, source=Source.ADMIN) is True
    gateway.reads_unanswered = True
    assert reconcile(only_attempt(unsent).pk, source=Source.ADMIN) is False

    assert only_attempt(unsent).next_poll_at == due_at


def test_page_with_a_lost_address_that_was_paid_is_credited_and_not_requested_again(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """The answer with the page's address was lost, but the payer got the address."""
    gateway.next_pages = [lambda url: reply(502, "<html>")]
    payment = begin(provider="visa", phone="")
    assert payment.status == "created"
    gateway.pay_on_page().approve()

    reconcile(only_attempt(payment).pk, source=Source.ADMIN)

    payment.refresh_from_db()
    assert (payment.status, len(gateway.pages)) == ("successful", 1)


# --- races and long searches --------------------------------------------------------------------------


def test_attempt_of_a_retry_is_not_sent_after_a_late_success(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt is credited between the commit of the second one and its sending."""
    payment = begin()
    gateway.last().decline()
    first = only_attempt(sweep_until_final(payment, clock))

    def credit_the_first(attempt_id: Any, *, source: Source) -> None:
        gateway.last().approve()
        reconcile(first.pk, source=Source.WORKER)
        sending.send(attempt_id, source=source)

    monkeypatch.setattr(retrying, "send", credit_the_first)

    retry(payment.pk, source=Source.API)

    second = Attempt.objects.get(ordinal=2)
    assert (second.status, second.reason_code, len(gateway.charges)) == ("rejected", "already_credited", 1)
    assert Credit.objects.get().attempt == first


def test_search_for_a_lost_attempt_finds_the_paid_charge_among_failed_ones(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [CHARGED["429 bare"]]
    payment = begin()
    gateway.last().approve()
    gateway.charges.insert(0, Charge("failed first", gateway.last().echo, "2290161000050", 5000, status="FAILED"))

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"


def test_doubtful_refusal_goes_to_review_if_history_cannot_be_read(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects.append(refuse("Bad Request"))
    payment = begin()
    gateway.reads_unanswered = True

    while Payment.objects.get().status == "rejected":
        sweep_at_next_poll(clock)

    assert payment.events.latest("id").because == "not_found_in_history"
    assert timedelta(hours=30) <= clock.at - payment.created_at <= timedelta(hours=31)


def test_doubtful_refusal_stays_refused_if_history_is_read_in_time(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects.append(refuse("Bad Request"))
    payment = begin()
    gateway.forget(gateway.last())
    gateway.reads_unanswered = True
    while clock.at - payment.created_at < timedelta(hours=25):
        sweep_at_next_poll(clock)

    gateway.reads_unanswered = False
    sweep_at_next_poll(clock)

    assert Payment.objects.get().status == "rejected"
    assert only_attempt(payment).next_poll_at is None
