"""Isolation levels and autocommit of the host: the locks hold under each level, or nothing starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.test import Client

from django_feexpay import isolation, python_api
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, IdempotencyRecord, Payment, WebhookDelivery
from django_feexpay.payments import leases, ledger, otp, reconcile, webhook_hints
from django_feexpay.payments.attempts import lock_user
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import Key
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.retry import retry
from tests.api.caller import BASE, initiate_body, new_token
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.test_concurrency import codes
from tests.payments.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

#: How a host sets another level than PostgreSQL's default: in Django's OPTIONS, or on the server.
LEVELS = {
    "repeatable read": {"isolation_level": 3},
    "serializable": {"isolation_level": 4},
    "repeatable read of the server": {"options": r"-c default_transaction_isolation=repeatable\ read"},
    "serializable of the server": {"options": "-c default_transaction_isolation=serializable"},
}


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The isolation level of the host's transactions."""
    name = str(request.param)
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", LEVELS[name])
    connection.close()
    with transaction.atomic():
        assert level_now() == name.removesuffix(" of the server")
    yield name
    connection.close()


def level_now() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return str(cursor.fetchone()[0])


# --- the level ------------------------------------------------------------------------------------------


def test_our_transactions_are_read_committed(level: str) -> None:
    with durable():
        assert level_now() == "read committed"
    with durable():  # the connection's level is known by now
        assert level_now() == "read committed"
    with isolation.read_committed("default"):
        assert level_now() == "read committed"


@pytest.mark.parametrize("changes", [{"merchant_reference": "order-7"}, {}], ids=["one order", "no order"])
def test_taps_at_once_start_one_payment(
    begin: Begin, gateway: ModelGateway, level: str, changes: dict[str, Any]
) -> None:
    answers = at_once(8, lambda number: begin(**changes))

    assert codes(answers) == {"Payment": 1, "duplicate_payment": 7}
    assert (Payment.objects.count(), len(gateway.charges)) == (1, 1)


def test_taps_with_keys_of_their_own_for_one_order_start_one_payment(
    begin: Begin, gateway: ModelGateway, level: str, player: Any
) -> None:
    def tap(number: int) -> Payment:
        return begin(key=Key(user=player, value=f"key-{number}", fingerprint="same"), merchant_reference="order-7")

    assert codes(at_once(8, tap)) == {"Payment": 1, "duplicate_payment": 7}
    assert len(gateway.charges) == 1


def test_one_key_at_once_over_http_is_one_charge_and_no_500(gateway: ModelGateway, level: str, player: Any) -> None:
    headers = {"Authorization": f"Bearer {new_token(player)}", "Idempotency-Key": "key-1"}

    def tap(number: int) -> int:
        client = Client(raise_request_exception=False)
        return client.post(
            f"{BASE}initiate/", initiate_body(), content_type="application/json", headers=headers
        ).status_code

    answers = Counter(at_once(8, tap))

    assert set(answers) <= {201, 409}
    assert answers[201] >= 1  # a request after the answer gets the same answer
    assert (Payment.objects.count(), len(gateway.charges)) == (1, 1)


def test_retries_at_once_open_one_attempt(begin: Begin, gateway: ModelGateway, level: str) -> None:
    payment = begin()
    gateway.last().decline()
    reconcile.reconcile(Attempt.objects.get().pk, source=Source.WORKER)

    answers = at_once(6, lambda number: retry(payment.pk, source=Source.API))

    assert codes(answers) == {"Payment": 1, "payment_open": 5}
    assert (payment.attempts.count(), len(gateway.charges)) == (2, 2)


def test_polls_at_once_credit_once_and_raise_nothing(begin: Begin, gateway: ModelGateway, level: str) -> None:
    begin()
    attempt = Attempt.objects.get()
    gateway.last().approve()
    hint = hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"})

    def poll(number: int) -> object:
        webhook_hints.receive(hint)
        return reconcile.reconcile(attempt.pk, source=Source.WORKER)

    assert at_once(8, poll) == [True] * 8
    assert Credit.objects.count() == 1
    assert (WebhookDelivery.objects.count(), WebhookDelivery.objects.get().repeat_count) == (1, 7)


def test_update_that_waited_for_a_lock_sees_the_new_values(begin: Begin, gateway: ModelGateway, level: str) -> None:
    """Such updates write claims, poll times and stored answers."""
    begin()
    attempt = Attempt.objects.get()
    Attempt.objects.update(next_poll_at=attempt.created_at)
    attempt.refresh_from_db()

    answers = at_once(8, lambda number: leases.claim(attempt, leases.conf.now()))

    assert sorted(map(str, answers)) == ["False"] * 7 + ["True"]


# --- one key for two codes ------------------------------------------------------------------------------


@pytest.fixture
def two_codes(begin: Begin, gateway: ModelGateway) -> list[Payment]:
    """Two payments of one player that each wait for a code."""
    return [begin(provider="coris_bj", merchant_reference=f"order-{number}") for number in range(2)]


def test_one_key_on_two_codes_at_once_is_used_once_and_nothing_breaks(
    two_codes: list[Payment], gateway: ModelGateway, player: Any
) -> None:
    """Neither request finds the key, and the second INSERT fails on the unique index."""
    headers = {"Authorization": f"Bearer {new_token(player)}", "Idempotency-Key": "key-1"}
    asked_before = len(gateway.charges)

    def submit(number: int) -> int:
        client = Client(raise_request_exception=False)
        path = f"{BASE}{two_codes[number].pk}/otp/"
        return client.post(path, {"otp": "123456"}, content_type="application/json", headers=headers).status_code

    answers = at_once(2, submit)

    assert sorted(map(str, answers)) == ["200", "422"]
    assert (IdempotencyRecord.objects.count(), len(gateway.charges)) == (1, asked_before + 1)


def test_one_key_on_a_start_and_a_code_at_once_is_used_once(
    two_codes: list[Payment], begin: Begin, gateway: ModelGateway, player: Any
) -> None:
    def use(number: int) -> Payment:
        key = Key(user=player, value="key-1", fingerprint=f"request {number}")
        if number:
            return begin(key=key)
        return otp.submit(two_codes[0].pk, "123456", source=Source.API, key=key)

    assert codes(at_once(2, use)) == {"Payment": 1, "idempotency_mismatch": 1}


# --- inside a transaction -----------------------------------------------------------------------------


def in_atomic(work: Callable[[], object]) -> None:
    with transaction.atomic():
        work()


def test_calls_inside_a_transaction_of_the_host_are_refused(begin: Begin, gateway: ModelGateway) -> None:
    """If the host's transaction rolled back a move, its signal or its charge would remain without a row."""
    begin()
    attempt = Attempt.objects.get()
    cause = Cause(source=Source.WORKER, because="test")
    calls: dict[str, Callable[[], object]] = {
        "move": lambda: ledger.move(attempt.pk, Status.SUCCESSFUL, cause),
        "claim": lambda: leases.claim_due(1, unsent=False),
        "webhook": lambda: webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"})),
        "start": lambda: begin(merchant_reference="order-7"),
        "reconcile": lambda: python_api.reconcile_payment(attempt.payment_id),
    }
    for work in calls.values():
        with pytest.raises(RuntimeError):
            in_atomic(work)

    attempt.refresh_from_db()
    assert (attempt.status, Credit.objects.count(), Payment.objects.count()) == ("pending", 0, 1)
    assert (WebhookDelivery.objects.count(), len(gateway.charges)) == (0, 1)


# --- autocommit off -------------------------------------------------------------------------------------


@pytest.fixture(params=["set_autocommit", "AUTOCOMMIT"])
def without_autocommit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A function that switches autocommit off, to call where the host's transaction begins."""

    def switch_off() -> None:
        if request.param == "AUTOCOMMIT":
            monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)
            connection.close()
            connection.ensure_connection()
        else:
            transaction.set_autocommit(False)

    yield switch_off
    transaction.rollback()
    monkeypatch.undo()
    connection.close()


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(NotAllowedError) as error:
        work()
    return error.value.code


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_without_autocommit_nothing_is_written_or_sent(
    begin: Begin, gateway: ModelGateway, configure: Configure, without_autocommit: Callable[[], None], dispatch: str
) -> None:
    configure(DISPATCH=dispatch)
    begin(merchant_reference="known")
    rows, asked, questions = Attempt.objects.count(), len(gateway.charges), gateway.questions
    attempt = Attempt.objects.get()
    acts: dict[str, Callable[[], object]] = {
        "start": begin,
        "retry": lambda: retry(attempt.payment_id, source=Source.API),
        "host's retry": lambda: python_api.retry_payment(attempt.payment_id),
        "code": lambda: otp.submit(attempt.payment_id, "123456", source=Source.API),
        "reconcile": lambda: reconcile.reconcile(attempt.pk, source=Source.HOST),
        "host's reconcile": lambda: python_api.reconcile_payment(attempt.payment_id),
        "move": lambda: ledger.move(attempt.pk, Status.REVIEW, Cause(source=Source.HOST, because="test")),
        "sweep": lambda: leases.claim_due(10, unsent=dispatch == "queue"),
        "webhook": lambda: webhook_hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"})),
    }

    without_autocommit()

    assert {name: refused(act) for name, act in acts.items()} == dict.fromkeys(acts, "not_configured")
    assert (Attempt.objects.count(), len(gateway.charges), gateway.questions) == (rows, asked, questions)
    assert not WebhookDelivery.objects.exists()


def test_without_autocommit_the_api_answers_503_and_payments_can_be_read(
    begin: Begin, gateway: ModelGateway, player: Any, without_autocommit: Callable[[], None]
) -> None:
    payment = begin()
    Attempt.objects.update(next_poll_at=payment.created_at)
    headers = {"Authorization": f"Bearer {new_token(player)}"}
    without_autocommit()

    def post(path: str, body: object) -> Any:
        return Client().post(f"{BASE}{path}", body, content_type="application/json", headers=headers)

    # Django's test client keeps the connection open between requests, and with it this test's autocommit setting.
    started = post("initiate/", initiate_body(merchant_reference="order-7"))
    delivered = post("webhook/", {"reference": "ref-0001", "status": "SUCCESSFUL"})

    assert (started.status_code, started.json()["code"]) == (503, "not_configured")
    assert (delivered.status_code, gateway.questions, len(gateway.charges)) == (503, 0, 1)
    assert Client().get(f"{BASE}{payment.pk}/status/", headers=headers).json()["status"] == "pending"
    assert gateway.questions == 0


def test_start_works_after_a_transaction_ended(begin: Begin, gateway: ModelGateway) -> None:
    with transaction.atomic():
        lock_user(uuid4())

    assert begin().status == "pending"
