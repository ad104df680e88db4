"""The locks of a move: the payment first, then the attempt, both read after the wait; webhooks do not wait for them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, WebhookDelivery
from django_feexpay.payments import ledger
from django_feexpay.payments.ledger import Cause, Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import now
from tests.payments.threads import at_once, wait_for_a_blocked_connection

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

BECAUSE = Cause(source=Source.WORKER, because="test")


def test_move_that_waited_reads_the_attempt_as_the_first_move_left_it(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXPIRED may become FAILED, and REVIEW may, but only from what the attempt is by then."""
    attempt = begin().attempt
    first_holds_the_lock = threading.Event()
    announce = ledger.change_notices.announce

    def commit_once_the_second_waits(payment_id: Any) -> None:
        announce(payment_id)
        if not first_holds_the_lock.is_set():
            first_holds_the_lock.set()
            wait_for_a_blocked_connection()

    monkeypatch.setattr(ledger.change_notices, "announce", commit_once_the_second_waits)

    def move(number: int) -> Attempt | None:
        if number == 0:
            return ledger.move(attempt.pk, Status.EXPIRED, BECAUSE, changes={"reason_code": "expired"})
        first_holds_the_lock.wait(30)
        return ledger.move(attempt.pk, Status.FAILED, BECAUSE)

    first, second = at_once(2, move)

    assert isinstance(first, Attempt)
    assert isinstance(second, Attempt)
    assert (second.status, second.reason_code, second.payment.event_count) == ("failed", "expired", 4)
    events = list(attempt.events.order_by("id").values_list("from_status", "to_status"))
    assert events[2:] == [("pending", "expired"), ("expired", "failed")]


def test_move_that_waits_for_the_payment_holds_no_lock_on_the_attempt(begin: Begin, gateway: ModelGateway) -> None:
    """Whoever holds the payment may lock its attempts next. A move that locked the attempt first would deadlock."""
    attempt = begin().attempt

    def move() -> Attempt | None:
        try:
            return ledger.move(attempt.pk, Status.FAILED, BECAUSE)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Payment.objects.select_for_update(of=("self",)).get(pk=attempt.payment_id)
            moved = pool.submit(move)
            wait_for_a_blocked_connection()
            locked = Attempt.objects.select_for_update(of=("self",), nowait=True).get(pk=attempt.pk)
            assert locked.status == Status.PENDING
        assert moved.result() == attempt


def test_webhook_of_an_attempt_is_stored_while_the_attempt_is_moved(begin: Begin, gateway: ModelGateway) -> None:
    attempt = begin().attempt
    delivery = WebhookDelivery(dedupe_key="one", attempt=attempt, received_at=now())

    def store() -> None:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '5s'")  # waiting for the move is an error, not a hang
                WebhookDelivery.objects.store_or_count(delivery)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        ledger._attempts_to_lock().get(pk=attempt.pk)
        pool.submit(store).result()

    assert attempt.deliveries.get().dedupe_key == "one"
