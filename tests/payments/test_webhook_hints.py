"""A webhook makes its attempt due for a poll. Its status and amount decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, WebhookDelivery
from django_feexpay.payments import ledger, sending, webhook_bounds, webhook_hints
from django_feexpay.payments.ledger import Cause, Source
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway, accept, accept_as, cannot_reach, lose_the_answer, refuse
from tests.payments.fakes import Clock, only_attempt, sweep, sweep_until_final

pytestmark = pytest.mark.django_db


def receive_delivery(gateway: ModelGateway, **body: Any) -> None:
    """Receive a delivery, as the webhook view does."""
    webhook_hints.receive(hint_from({"reference": gateway.last().reference, "status": "SUCCESSFUL"} | body))


def test_webhook_makes_the_attempt_due_now_and_decides_nothing(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()

    receive_delivery(gateway, amount=1, callback_info="forged")

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.next_poll_at) == ("pending", clock.at)
    sweep()
    assert only_attempt(payment).status == "pending"


def test_many_webhooks_cause_one_poll_in_three_seconds(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    receive_delivery(gateway)
    sweep()

    for number in range(20):
        receive_delivery(gateway, date=str(number))
        sweep()
    assert gateway.questions == 1

    clock.advance(3)
    sweep()
    assert gateway.questions == 2


def test_repeated_webhook_is_counted_in_one_row(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()

    for _ in range(4):
        receive_delivery(gateway)

    delivery = WebhookDelivery.objects.get()
    assert (delivery.repeat_count, delivery.attempt) == (3, only_attempt(payment))


@pytest.mark.parametrize("status", ["expired", "failed", "review"])
def test_webhook_about_a_settled_payment_causes_a_poll(
    begin: Begin, gateway: ModelGateway, clock: Clock, status: str
) -> None:
    payment = begin()
    Attempt.objects.filter(payment=payment).update(status=status, next_poll_at=None)

    receive_delivery(gateway)

    assert only_attempt(payment).next_poll_at == clock.at


@pytest.mark.parametrize("word", ["SUCCESSFUL", "PENDING", "IN PENDING STATE", "ON HOLD", ""])
def test_webhook_without_a_reversal_of_a_credit_is_stored_and_causes_no_poll(
    begin: Begin, gateway: ModelGateway, clock: Clock, word: str
) -> None:
    payment = begin()
    gateway.last().approve()
    sweep_until_final(payment, clock)

    receive_delivery(gateway, status=word)

    assert only_attempt(payment).next_poll_at is None
    assert WebhookDelivery.objects.count() == 1


def test_webhook_never_delays_an_earlier_poll(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    nearer = clock.at + timedelta(seconds=1)
    Attempt.objects.filter(payment=payment).update(next_poll_at=nearer, last_polled_at=clock.at)

    receive_delivery(gateway)

    assert only_attempt(payment).next_poll_at == nearer


def test_webhook_with_an_unknown_reference_is_matched_later(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    assert WebhookDelivery.objects.get().attempt is None

    payment = begin()

    attempt = only_attempt(payment)
    assert WebhookDelivery.objects.get().attempt == attempt
    assert attempt.next_poll_at == clock.at


def test_webhook_stored_during_the_commit_of_its_reference_is_matched_by_the_worker(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    WebhookDelivery.objects.update(attempt=None)

    assert webhook_hints.match_late_references() == 1

    assert WebhookDelivery.objects.get().attempt == only_attempt(payment)
    assert webhook_hints.match_late_references() == 0


def test_delivery_without_a_reference_is_stored_without_an_attempt(gateway: ModelGateway, clock: Clock) -> None:
    webhook_hints.receive(hint_from({"status": "COMPLETED", "type": "PAYMENT_HISTORY"}))

    assert WebhookDelivery.objects.get().attempt is None
    assert webhook_hints.match_late_references() == 0


@pytest.fixture
def small_limit(configure: Configure) -> None:
    """Only two unmatched deliveries are kept."""
    configure(UNKNOWN_WEBHOOKS_KEPT=2)


def flood(number: int = 5) -> None:
    for junk in range(number):
        webhook_hints.receive(hint_from({"reference": f"junk-{junk}", "status": "SUCCESSFUL"}))


def test_flood_of_unknown_references_deletes_the_oldest_but_no_true_delivery(
    begin: Begin, gateway: ModelGateway, clock: Clock, small_limit: None
) -> None:
    flood()
    kept = WebhookDelivery.objects.order_by("pk").values_list("gateway_reference", flat=True)
    assert list(kept) == ["junk-3", "junk-4"]

    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    payment = begin()

    assert WebhookDelivery.objects.get(attempt=only_attempt(payment)).gateway_reference == "ref-0001"
    assert only_attempt(payment).next_poll_at == clock.at


def test_delivery_with_our_echo_survives_a_flood_before_the_answer_to_collect(
    begin: Begin, gateway: ModelGateway, clock: Clock, small_limit: None
) -> None:
    """The attempt is being sent and has no reference yet, so only our echo identifies it."""

    def answer_late(charge: Charge) -> WireReply:
        webhook_hints.receive(
            hint_from({"reference": charge.reference, "status": "SUCCESSFUL", "callback_info": charge.echo})
        )
        flood()
        return accept(charge)

    gateway.next_collects = [answer_late]
    payment = begin()

    assert WebhookDelivery.objects.get(attempt=only_attempt(payment)).gateway_reference == "ref-0001"
    assert only_attempt(payment).next_poll_at == clock.at


def test_matched_deliveries_are_never_deleted_by_a_flood(
    begin: Begin, gateway: ModelGateway, clock: Clock, small_limit: None
) -> None:
    payment = begin()
    for number in range(4):
        receive_delivery(gateway, date=str(number))

    flood()

    assert only_attempt(payment).deliveries.count() == 4
    assert WebhookDelivery.objects.filter(attempt=None).count() == 2


def test_late_match_finds_a_delivery_older_than_a_batch_of_others(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_hints, "_MATCH_BATCH", 3)
    payment = begin()
    webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    WebhookDelivery.objects.update(attempt=None)
    clock.advance(1)
    flood(10)

    assert webhook_hints.match_late_references() == 1

    assert WebhookDelivery.objects.get(gateway_reference="ref-0001").attempt == only_attempt(payment)


def test_delivery_without_a_reference_matches_no_attempt_with_an_empty_reference(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Deliveries about FeexPay's exports have no reference. They must not match an empty one."""
    payment = begin()
    Attempt.objects.filter(payment=payment).update(gateway_reference="")
    webhook_hints.receive(hint_from({"status": "COMPLETED", "type": "PAYMENT_HISTORY"}))

    assert webhook_hints.match_late_references() == 0

    assert WebhookDelivery.objects.get().attempt is None


def test_delivery_with_an_unknown_reference_is_matched_by_our_echo(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """The answer to collect was lost. The webhook makes the attempt due at once."""
    gateway.next_collects = [lose_the_answer]
    payment = begin()
    gateway.last().approve()

    receive_delivery(gateway, callback_info=str(only_attempt(payment).pk))

    assert only_attempt(payment).next_poll_at == clock.at
    assert WebhookDelivery.objects.get().attempt == only_attempt(payment)
    sweep()
    assert only_attempt(payment).status == "successful"


def test_refused_attempt_that_was_charged_is_credited_after_its_webhook(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """FeexPay refuses and charges all the same. Only the webhook makes us poll a documented refusal."""
    gateway.next_collects = [refuse()]
    payment = begin()
    assert only_attempt(payment).next_poll_at is None
    gateway.last().approve()

    receive_delivery(gateway, callback_info=str(only_attempt(payment).pk))
    sweep()

    assert only_attempt(payment).status == "successful"


@pytest.mark.parametrize("echo", ["", "forged", "0", None, 7, ["x"], "6f1d9f6e-95a5-4b6c-8a9a-5b8f5f6a0000"])
def test_unknown_echo_matches_nothing(begin: Begin, gateway: ModelGateway, clock: Clock, echo: object) -> None:
    payment = begin()
    before = only_attempt(payment).next_poll_at

    webhook_hints.receive(hint_from({"reference": "another", "status": "SUCCESSFUL", "callback_info": echo}))

    assert only_attempt(payment).next_poll_at == before
    assert WebhookDelivery.objects.get().attempt is None


def test_webhook_before_the_answer_to_collect_makes_its_attempt_due(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    def answer_late(charge: Charge) -> WireReply:
        webhook_hints.receive(
            hint_from({"reference": charge.reference, "status": "SUCCESSFUL", "callback_info": charge.echo})
        )
        return accept(charge)

    gateway.next_collects = [answer_late]

    payment = begin()

    assert only_attempt(payment).next_poll_at == clock.at
    assert WebhookDelivery.objects.get().attempt == only_attempt(payment)


@pytest.mark.parametrize("outcome", [accept, refuse(), lose_the_answer], ids=["accepted", "refused", "unknown"])
def test_webhook_during_the_sending_makes_its_attempt_due(
    outcome: Callable[[Charge], WireReply], begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    def answer_late(charge: Charge) -> WireReply:
        webhook_hints.receive(hint_from({"reference": "another", "status": "SUCCESSFUL", "callback_info": charge.echo}))
        return outcome(charge)

    gateway.next_collects = [answer_late]

    payment = begin()

    assert only_attempt(payment).next_poll_at == clock.at


@pytest.mark.parametrize("outcome", [accept, refuse(), lose_the_answer], ids=["accepted", "refused", "unknown"])
def test_webhook_that_is_stored_after_the_outcome_makes_its_attempt_due(
    outcome: Callable[[Charge], WireReply],
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its process read the attempt while it was being sent; the sender looked for deliveries before it was stored."""
    configure(DISPATCH="queue")
    attempt = only_attempt(begin())
    ledger.move(attempt.pk, Status.SENDING, Cause(source=Source.WORKER, because="sent"))
    gateway.next_collects = [outcome]
    store = webhook_hints._store_known

    def send_then_store(*args: Any) -> None:
        sending.send(attempt.pk, source=Source.WORKER)
        store(*args)

    monkeypatch.setattr(webhook_hints, "_store_known", send_then_store)
    webhook_hints.receive(hint_from({"reference": "another", "status": "SUCCESSFUL", "callback_info": str(attempt.pk)}))

    attempt.refresh_from_db()
    assert attempt.next_poll_at == clock.at


@pytest.mark.parametrize(("ours", "theirs"), [("abc-12", "ABC-12"), ("ABC-12", "abc-12")])
def test_letter_case_of_a_reference_does_not_matter(
    begin: Begin, gateway: ModelGateway, clock: Clock, ours: str, theirs: str
) -> None:
    gateway.next_collects = [accept_as(ours)]
    payment = begin()

    webhook_hints.receive(hint_from({"reference": theirs, "status": "SUCCESSFUL"}))

    assert only_attempt(payment).next_poll_at == clock.at


def test_letter_case_does_not_matter_if_the_webhook_comes_first(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    webhook_hints.receive(hint_from({"reference": "REF-0001", "status": "SUCCESSFUL"}))

    payment = begin()

    assert WebhookDelivery.objects.get().attempt == only_attempt(payment)
    WebhookDelivery.objects.update(attempt=None)
    assert webhook_hints.match_late_references() == 1


def test_deliveries_of_one_attempt_are_limited_and_each_makes_it_due(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_bounds, "FREE_EACH", 2)
    monkeypatch.setattr(webhook_bounds, "MAX_EACH", 3)
    payment = begin()

    for number in range(6):
        receive_delivery(gateway, date=f"2026-07-0{number + 1}")
    receive_delivery(gateway, date="2026-07-01")

    assert WebhookDelivery.objects.count() == 3
    assert WebhookDelivery.objects.get(body__date="2026-07-01").repeat_count == 1
    assert only_attempt(payment).next_poll_at == clock.at


def test_dedupe_key_is_hashed_with_our_key(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """The body contains a msisdn. With an unkeyed hash it could be found by trying all numbers."""
    hint = hint_from({"reference": "ref-1", "status": "SUCCESSFUL", "phoneNumber": "2290161000050"})

    webhook_hints.receive(hint)

    assert WebhookDelivery.objects.get().dedupe_key != hint.dedupe_key


def test_webhook_about_an_unsent_attempt_causes_one_poll(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects = [cannot_reach]
    attempt = only_attempt(begin())
    clock.advance(901)
    sweep()
    webhook_hints.receive(hint_from({"reference": "r-1", "status": "SUCCESSFUL", "callback_info": str(attempt.pk)}))
    clock.advance(5)

    assert (sweep(), gateway.questions) == (1, 1)  # its history, once
    attempt.refresh_from_db()
    assert (attempt.status, attempt.next_poll_at) == ("expired", None)
