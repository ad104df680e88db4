"""The exact number of SQL statements of each money path, without BEGIN, COMMIT and SAVEPOINT."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay.background import worker
from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, OutboxMessage
from django_feexpay.payments import idempotency, leases, outbox, reconcile, webhook_hints
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.poll_results import PollResults
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.postgres_only]

_AROUND = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def statements(work: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        work()
    texts = [query["sql"] for query in captured.captured_queries]
    return [text for text in texts if not text.startswith(_AROUND)]


def tables_written(texts: list[str]) -> list[str]:
    written = (re.match(r'\s*(INSERT|UPDATE)(?: INTO)? "?feexpay_(\w+)', text) for text in texts)
    return [" ".join(found.groups()) for found in written if found]


def test_start_writes_the_intent_with_four_inserts(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, player: Any
) -> None:
    configure(DISPATCH="queue")
    key = idempotency.key_of(player, "k", "initiate", {})

    texts = statements(lambda: begin(key=key, merchant_reference="order-7"))

    assert tables_written(texts) == [
        "INSERT payment",
        "INSERT attempt",
        "INSERT paymentevent",
        "INSERT idempotencyrecord",
    ]
    # key, provider, payments of the order, lock, key and payments again, four inserts, the payment to return
    assert len(texts) == 11


def test_start_of_a_new_order_costs_thirteen_statements(
    begin: Begin, gateway: ModelGateway, clock: Clock, player: Any
) -> None:
    key = idempotency.key_of(player, "k", "initiate", {})

    texts = statements(lambda: begin(merchant_reference="order-7"))

    assert tables_written(texts) == [
        *("INSERT payment", "INSERT attempt", "INSERT paymentevent"),
        *("UPDATE attempt", "INSERT paymentevent", "UPDATE payment", "UPDATE webhookdelivery"),
    ]
    # and: the provider, the payments of the order, the lock, the payments of the order again, payment and attempt
    # under their lock, the notice to the event streams. Nothing is read for the answer.
    assert len(texts) == 13
    # and: the key, the key again under the lock, its record
    assert len(statements(lambda: begin(merchant_reference="order-8", key=key))) == 13 + 3


def test_further_start_of_an_order_reads_its_open_payments_and_its_refusals(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects = [refuse()]
    begin(merchant_reference="order-7")

    # twice the open payments, the doubtful refusals, and the provider again, as asking about a refusal takes time
    assert len(statements(lambda: begin(merchant_reference="order-7"))) == 13 + 4


def test_prompt_limit_costs_a_lock_and_two_counts(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, player: Any
) -> None:
    configure(DISPATCH="queue")
    without = len(statements(lambda: begin(merchant_reference="order-7")))
    configure(PROMPTS_PER_PHONE=5)

    assert len(statements(lambda: begin(merchant_reference="order-8"))) == without + 3


def test_send_writes_the_answer_with_four_statements(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    begin()
    queued = len(statements(lambda: None))
    configure(DISPATCH="inline")

    texts = statements(lambda: begin(merchant_reference="order-7"))

    assert queued == 0
    assert tables_written(texts)[3:] == [
        "UPDATE attempt",
        "INSERT paymentevent",
        "UPDATE payment",
        "UPDATE webhookdelivery",
    ]


def test_webhook_costs_three_statements_and_a_repeat_two(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    hint = hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"})

    # the attempt, the delivery, its poll time; a repeat finds the attempt due already
    assert len(statements(lambda: webhook_hints.receive(hint))) == 3
    assert len(statements(lambda: webhook_hints.receive(hint))) == 2


def test_claim_costs_one_statement_for_each_kind_however_many_rows_are_due(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    for number in range(7):
        begin(merchant_reference=str(number))
    clock.advance(5)

    # live attempts, settled attempts
    assert len(statements(lambda: leases.claim_due(50, unsent=False))) == 2
    assert len(statements(lambda: leases.claim_due(50, unsent=False))) == 2
    assert len(statements(lambda: leases.claim_due(50, unsent=False, live=True))) == 1


def test_poll_with_a_pending_answer_reads_once_and_writes_once(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin()
    attempt = Attempt.objects.get()

    texts = statements(lambda: reconcile.reconcile(attempt.pk, source=Source.WORKER))

    assert tables_written(texts) == ["UPDATE attempt"]
    assert len(texts) == 2


def test_batch_of_polls_with_pending_answers_costs_two_statements(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    for number in range(7):
        begin(merchant_reference=str(number))
    clock.advance(5)
    results = PollResults()

    def poll() -> None:
        for held in leases.claim_due(50, unsent=False, live=True):
            worker.advance(held, poll_later=results.add)
        results.write()

    assert len(statements(poll)) == 2
    assert set(Attempt.objects.values_list("poll_count", flat=True)) == {1}


def test_credit_costs_twelve_statements_in_one_transaction(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    attempt = Attempt.objects.get()
    gateway.last().approve()

    texts = statements(lambda: reconcile.reconcile(attempt.pk, source=Source.WORKER))

    assert tables_written(texts) == [
        "UPDATE attempt",
        "INSERT paymentevent",
        "INSERT credit",
        "INSERT outboxmessage",
        "UPDATE payment",
    ]
    # and: the attempt to poll, its payment, the lock on the order's payments, the attempt under the lock,
    # an announced failure, a second charge named by a webhook, the notice to the event streams
    assert len(texts) == 12


def test_delivery_costs_a_claim_a_read_and_a_mark(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    OutboxMessage.objects.create(
        payment=Attempt.objects.get().payment, signal="payment_failed", next_delivery_at=clock.at, created_at=clock.at
    )

    # and the search for the next message, which finds none
    assert len(statements(outbox.deliver)) == 5
