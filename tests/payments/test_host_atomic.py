"""A host that calls us inside its own transaction: a queued start works, everything that calls FeexPay is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

import django_feexpay
from django_feexpay.models import Attempt, IdempotencyRecord, Payment, PaymentEvent
from django_feexpay.payments import otp, retry
from django_feexpay.payments.errors import InsideAtomicError, NotAllowedError
from django_feexpay.payments.idempotency import Key
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, charge_and_answer
from tests.payments.fakes import Clock, only_attempt, sweep
from tests.payments.threads import at_once, wait_for_a_blocked_connection

pytestmark = pytest.mark.django_db(transaction=True)


class HostError(Exception):
    """A bug of the host's after the start."""


def buy(request: HttpRequest) -> HttpResponse:
    """A host's own view. ATOMIC_REQUESTS opens a transaction around it."""
    payment = django_feexpay.start_payment(
        user=None,
        provider=request.GET.get("provider", "mtn_bj"),
        amount=5000,
        phone=request.GET.get("phone", "0161000050"),
        merchant_reference="order-7",
    )
    if "fail" in request.GET:
        raise HostError
    return HttpResponse(payment.public_status)


urlpatterns = [path("buy/", buy)]


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[[str], HttpResponse]:
    """Visit the host's view with ATOMIC_REQUESTS on."""
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    return lambda query="": Client().get(f"/buy/?{query}")


def rows() -> list[int]:
    return [model.objects.count() for model in (Payment, Attempt, PaymentEvent, IdempotencyRecord)]


# --- a view under ATOMIC_REQUESTS -----------------------------------------------------------------------


def test_queued_start_is_committed_with_the_request_and_sent_by_the_worker(
    visit: Callable[..., HttpResponse], gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")

    assert visit().content == b"pending"

    assert (rows(), gateway.charges) == ([1, 1, 1, 0], [])
    sweep()
    assert (Payment.objects.get().status, len(gateway.charges)) == ("pending", 1)


def test_provider_that_is_always_queued_starts_with_inline_dispatch_too(
    visit: Callable[..., HttpResponse], gateway: ModelGateway, clock: Clock
) -> None:
    assert visit("provider=moov_bj").content == b"pending"

    sweep()
    assert len(gateway.charges) == 1


def test_rollback_of_the_request_leaves_nothing_behind(
    visit: Callable[..., HttpResponse], gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    configure(DISPATCH="queue")

    with pytest.raises(HostError):
        visit("fail=1")

    sweep()
    assert (rows(), gateway.charges, gateway.questions) == ([0, 0, 0, 0], [], 0)
    assert visit().content == b"pending"  # and the order can be started


def test_inline_start_is_refused_before_anything_is_written_and_names_the_remedy(
    visit: Callable[..., HttpResponse], gateway: ModelGateway
) -> None:
    with pytest.raises(InsideAtomicError) as refused:
        visit()

    assert "@transaction.non_atomic_requests" in str(refused.value)
    assert 'FEEXPAY["DISPATCH"] = "queue"' in str(refused.value)
    assert (rows(), gateway.charges, gateway.questions) == ([0, 0, 0, 0], [], 0)


# --- inside transaction.atomic() ------------------------------------------------------------------------


def test_refused_start_leaves_the_hosts_transaction_usable(
    begin: Begin, gateway: ModelGateway, configure: Configure, player: Any
) -> None:
    configure(DISPATCH="queue")
    key = Key(user=player, value="key-1", fingerprint="same")
    with transaction.atomic():
        first = begin(merchant_reference="order-7", key=key)
        with pytest.raises(NotAllowedError, match="duplicate_payment"):
            begin(merchant_reference="order-7")
        with pytest.raises(NotAllowedError, match="idempotency_mismatch"):
            begin(key=Key(user=player, value="key-1", fingerprint="other"))
        second = begin(merchant_reference="order-8")

    assert set(Payment.objects.values_list("pk", flat=True)) == {first.pk, second.pk}
    assert IdempotencyRecord.objects.get().payment == first


def test_everything_that_calls_feexpay_is_refused(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    sweep()
    asked, written = gateway.questions, rows()
    calls: dict[str, Callable[[], object]] = {
        "retry": lambda: retry.retry(payment.pk, source=Source.API),
        "host's retry": lambda: django_feexpay.retry_payment(payment.pk),
        "code": lambda: otp.submit(payment.pk, "123456", source=Source.API),
        "host's code": lambda: django_feexpay.submit_otp(payment.pk, "123456"),
        "reconcile": lambda: reconcile(only_attempt(payment).pk, source=Source.API),
        "host's reconcile": lambda: django_feexpay.reconcile_payment(payment.pk),
        "review": lambda: django_feexpay.close_review(payment, decision="not_paid", reason="x", actor="staff"),
    }

    for call in calls.values():
        with pytest.raises(InsideAtomicError), transaction.atomic():
            call()

    assert (gateway.questions, rows(), len(gateway.charges)) == (asked, written, 1)


@pytest.mark.postgres_only
def test_taps_in_two_transactions_start_one_payment(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    """The second one waits for the first one's commit, and then finds its payment."""
    configure(DISPATCH="queue")

    def tap(number: int) -> Payment:
        with transaction.atomic():
            Payment.objects.count()  # the transaction has begun
            return begin(merchant_reference="order-7")

    answers = at_once(6, tap)

    refused = [answer.code for answer in answers if isinstance(answer, NotAllowedError)]
    assert refused == ["duplicate_payment"] * 5
    assert Payment.objects.count() == 1


@pytest.mark.postgres_only
def test_tap_that_waits_for_a_transaction_that_is_rolled_back_starts_the_payment(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    first_is_written = threading.Event()

    def tap(number: int) -> Payment | None:
        if number:
            first_is_written.wait(30)
            return begin(merchant_reference="order-7")
        with transaction.atomic():
            begin(merchant_reference="order-7")
            first_is_written.set()
            wait_for_a_blocked_connection()
            transaction.set_rollback(True)
        return None

    answers = at_once(2, tap)

    assert (answers[0], type(answers[1])) == (None, Payment)
    assert Payment.objects.get() == answers[1]


@pytest.mark.postgres_only
def test_deadlock_of_two_transactions_rolls_one_back_and_it_can_run_again(
    begin: Begin, gateway: ModelGateway, configure: Configure, player: Any
) -> None:
    """Each starts payments for the same two users, in opposite order: PostgreSQL ends one of them with an error."""
    configure(DISPATCH="queue")
    phones = {player: "0161000050", get_user_model().objects.create_user("second"): "0161000051"}
    both_hold_a_lock = threading.Barrier(2, timeout=30)

    def start_for_both(number: int, *, alone: bool = False) -> None:
        users = list(phones) if number else list(reversed(phones))
        with transaction.atomic():
            for user in users:
                begin(user=user, phone=phones[user], merchant_reference=f"order-{number}")
                if user is users[0] and not alone:
                    both_hold_a_lock.wait()

    answers = at_once(2, start_for_both)

    (loser,) = [number for number, answer in enumerate(answers) if isinstance(answer, OperationalError)]
    assert (answers[1 - loser], Payment.objects.count()) == (None, 2)
    start_for_both(loser, alone=True)
    sweep()
    assert (Payment.objects.count(), len(gateway.charges)) == (4, 4)


@pytest.mark.postgres_only
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_start_is_refused_where_the_snapshot_may_be_older_than_the_lock(
    begin: Begin, gateway: ModelGateway, configure: Configure, level: str
) -> None:
    configure(DISPATCH="queue")

    def start_at_level() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            begin()

    with pytest.raises(InsideAtomicError, match="READ COMMITTED"):
        start_at_level()

    assert rows() == [0, 0, 0, 0]


# --- an earlier refusal of the order that may hide a charge -----------------------------------------------


def test_worker_asks_about_an_earlier_refusal_before_it_sends(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    gateway.next_collects = [charge_and_answer(400, {"message": "Bad Request"}, names_it=False)]
    begin(merchant_reference="order-7")
    gateway.last().approve()
    configure(DISPATCH="queue")
    with transaction.atomic():
        second = begin(merchant_reference="order-7")
    assert gateway.questions == 0

    gateway.away = True
    sweep()
    assert (only_attempt(second).status, len(gateway.charges)) == ("created", 1)

    gateway.away = False
    clock.advance(30)
    sweep()
    attempt = only_attempt(second)
    assert (attempt.status, attempt.reason_code, len(gateway.charges)) == ("rejected", "already_credited", 1)


def test_queued_attempt_waits_while_another_payment_of_its_order_is_under_review(
    begin: Begin, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    """FeexPay has a pending request for the first one: a second prompt may be a second charge."""
    gateway.next_collects = [charge_and_answer(400, {"message": "Bad Request"}, names_it=False)]
    first = begin(merchant_reference="order-7")
    configure(DISPATCH="queue")
    second = begin(merchant_reference="order-7")

    sweep()
    reconcile(only_attempt(second).pk, source=Source.WORKER)

    assert (only_attempt(first).status, only_attempt(second).status) == ("review", "created")
    assert len(gateway.charges) == 1
    clock.advance(900)
    sweep()
    assert (only_attempt(second).status, only_attempt(second).reason_code) == ("expired", "never_sent")
