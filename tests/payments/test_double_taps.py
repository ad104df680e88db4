"""One intent, one payment: repeated idempotency keys, and double taps without a key."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from django_feexpay.models import IdempotencyRecord, Payment
from django_feexpay.payments import idempotency, initiate
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered, Key
from django_feexpay.payments.terms import AgreedTerms, PaymentRequest
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock, sweep_until_final

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(player: Any) -> Key:
    return idempotency.key_of(player, "key-1", "initiate", {"amount": 5000})


# --- with a key -----------------------------------------------------------------------------------------


def test_key_is_written_with_its_payment(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    payment = begin(key=key)

    record = IdempotencyRecord.objects.get()
    assert (record.payment_id, record.answer_status) == (payment.pk, None)
    assert payment.idempotency_key == "key-1"


def test_same_key_again_gets_the_first_answer_and_sends_nothing(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    payment = begin(key=key)
    idempotency.remember(key, 201, {"id": str(payment.pk)})

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=key)

    assert (answered.value.payment_id, answered.value.status) == (payment.pk, 201)
    assert answered.value.body == {"id": str(payment.pk)}
    assert len(gateway.charges) == 1


def test_second_remembered_answer_does_not_replace_the_first(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin(key=key)
    idempotency.remember(key, 201, {"first": True})
    idempotency.remember(key, 202, {"first": False})

    record = IdempotencyRecord.objects.get()
    assert (record.answer_status, record.answer_body) == (201, {"first": True})


def test_same_key_for_another_request_is_refused(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin(key=key)
    other = Key(user=key.user, value=key.value, fingerprint="another")

    with pytest.raises(NotAllowedError) as refused:
        begin(key=other, amount=6000)

    assert refused.value.code == "idempotency_mismatch"
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("seconds", [0, 89])
def test_same_key_while_the_first_request_runs_is_refused_with_a_wait(
    begin: Begin, gateway: ModelGateway, key: Key, clock: Clock, seconds: int
) -> None:
    begin(key=key)
    clock.advance(seconds)

    with pytest.raises(NotAllowedError) as refused:
        begin(key=key)

    assert (refused.value.code, refused.value.retry_after_seconds) == ("idempotency_conflict", 2)


def test_same_key_after_90_seconds_is_answered_from_the_payment(
    begin: Begin, gateway: ModelGateway, key: Key, clock: Clock
) -> None:
    payment = begin(key=key)
    clock.advance(90)

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=key)

    assert (answered.value.payment_id, answered.value.status, answered.value.body) == (payment.pk, None, None)


def test_two_users_may_use_the_same_key(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    other = get_user_model().objects.create_user("kofi")
    begin(key=key)

    begin(key=Key(user=other, value=key.value, fingerprint=key.fingerprint), user=other)

    assert Payment.objects.count() == 2


def test_refused_request_leaves_its_key_unused(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    with pytest.raises(NotAllowedError):
        begin(key=key, amount=0)

    assert begin(key=key).status == "pending"


def test_fingerprint_ignores_the_order_of_names() -> None:
    def fingerprint(route: str, body: dict[str, Any]) -> str:
        return idempotency.key_of(None, "key-1", route, body).fingerprint

    one = fingerprint("initiate", {"amount": 1, "phone": "\ud800"})

    assert fingerprint("initiate", {"phone": "\ud800", "amount": 1}) == one
    assert fingerprint("retry", {"amount": 1, "phone": "\ud800"}) != one
    assert fingerprint("initiate", {"amount": 2, "phone": "\ud800"}) != one


def test_repeat_gets_the_keys_answer_if_the_first_request_commits_during_its_validation(
    begin: Begin, gateway: ModelGateway, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The duplicate that it finds is its own payment, so the client must not get `duplicate_payment`."""
    validate = initiate.validate

    def overtaken(request: PaymentRequest) -> AgreedTerms:
        monkeypatch.setattr(initiate, "validate", validate)
        begin(key=key, merchant_reference="order-7")
        return validate(request)

    monkeypatch.setattr(initiate, "validate", overtaken)

    with pytest.raises(NotAllowedError, match="idempotency_conflict"):
        begin(key=key, merchant_reference="order-7")


# --- without a key ------------------------------------------------------------------------------------


def refusal(begin: Begin, **changes: Any) -> NotAllowedError:
    with pytest.raises(NotAllowedError) as refused:
        begin(**changes)
    return refused.value


@pytest.mark.parametrize("seconds", [0, 59, 3600])
def test_order_that_is_being_paid_is_not_started_again(
    begin: Begin, gateway: ModelGateway, clock: Clock, seconds: int
) -> None:
    payment = begin(merchant_reference="order-7")
    clock.advance(seconds)

    duplicate = refusal(begin, merchant_reference="order-7", amount=100, phone_ending="77")

    assert (duplicate.code, duplicate.payment_id) == ("duplicate_payment", payment.pk)
    assert len(gateway.charges) == 1


def test_order_that_is_paid_is_not_started_again(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin(merchant_reference="order-7")
    gateway.last().approve()
    sweep_until_final(payment, clock)
    clock.advance(86_400)

    assert refusal(begin, merchant_reference="order-7").payment_id == payment.pk


def test_order_whose_payment_failed_may_be_started_again(begin: Begin, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())
    begin(merchant_reference="order-7")

    assert begin(merchant_reference="order-7").status == "pending"


def test_same_reference_of_another_user_is_another_order(begin: Begin, gateway: ModelGateway) -> None:
    begin(merchant_reference="order-7")

    assert begin(merchant_reference="order-7", user=get_user_model().objects.create_user("kofi")).status == "pending"


def test_new_key_does_not_start_an_open_order_again(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin(merchant_reference="order-7")

    assert refusal(begin, merchant_reference="order-7", key=key).code == "duplicate_payment"


def test_second_tap_within_a_minute_is_refused(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    clock.advance(59)

    duplicate = refusal(begin)

    assert (duplicate.code, duplicate.payment_id) == ("duplicate_payment", payment.pk)
    assert len(gateway.charges) == 1


@pytest.mark.parametrize(
    "changes", [{"amount": 5001}, {"phone_ending": "51"}, {"provider": "celtiis_bj"}, {"merchant_reference": "order-7"}]
)
def test_second_tap_with_other_facts_starts_another_payment(
    begin: Begin, gateway: ModelGateway, clock: Clock, changes: dict[str, Any]
) -> None:
    begin()

    begin(**changes)

    assert len(gateway.charges) == 2


def test_second_tap_after_a_minute_starts_another_payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    clock.advance(60)

    begin()

    assert len(gateway.charges) == 2


def test_second_tap_with_its_own_key_starts_another_payment(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin()

    begin(key=key)

    assert len(gateway.charges) == 2


def test_same_number_in_another_format_is_a_double_tap(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin(phone="0161000050")

    assert refusal(begin, phone="+229 61 00 00 50").code == "duplicate_payment"
