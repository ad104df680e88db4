"""An idempotency key belongs to one user and one request. A refusal frees it, an answer never does."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from django_feexpay.conf import feexpay
from django_feexpay.crypto import key_id
from django_feexpay.models import IdempotencyRecord
from django_feexpay.payments import idempotency
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered, Key
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(player: Any) -> Key:
    return idempotency.key_of(player, "tap-1", "initiate", {})


def test_key_of_a_refused_request_can_be_used_again(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin(key=key)

    idempotency.forget(key)

    assert not IdempotencyRecord.objects.exists()
    idempotency.refuse_or_replay(key)


def test_answered_key_is_not_freed(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    """Of two requests with one key the second fails late; the first one's answer stays."""
    payment = begin(key=key)
    idempotency.remember(key, 201, {"id": str(payment.pk)})

    idempotency.forget(key)
    idempotency.forget(key)

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=key)
    assert (answered.value.payment_id, answered.value.status) == (payment.pk, 201)
    assert len(gateway.charges) == 1


def test_fingerprint_stays_the_same_from_version_to_version() -> None:
    """A record is kept for days, so a deployment in between must not turn a repeated request into a mismatch."""
    body = {"b": [1, None, "é"], "a": {"d": 1.5, "c": True}}

    text = '["initiate",{"a":{"c":true,"d":1.5},"b":[1,null,"\\u00e9"]}]'
    key = feexpay.hash_keys[0]
    expected = f"{key_id(key)}:{hmac.new(key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()}"
    assert idempotency.key_of(None, "tap-1", "initiate", body).fingerprint == expected
    assert idempotency.key_of(None, "tap-1", "retry", body).fingerprint != expected


def test_key_is_known_by_the_fingerprints_of_older_hash_keys_too(
    begin: Begin, gateway: ModelGateway, key: Key, configure: Configure
) -> None:
    payment = begin(key=key)
    idempotency.remember(key, 201, {})
    configure(HASH_KEY=["a new hash key " + "y" * 32, feexpay.hash_keys[0].reveal()])

    again = idempotency.key_of(key.user, key.value, "initiate", {})

    assert again.fingerprint != key.fingerprint
    assert key.fingerprint in again.earlier_fingerprints
    with pytest.raises(AlreadyAnswered) as answered:
        idempotency.refuse_or_replay(again)
    assert answered.value.payment_id == payment.pk


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        (-60, AlreadyAnswered),
        (-59, NotAllowedError),
        (0, NotAllowedError),
        (89, NotAllowedError),
        (90, AlreadyAnswered),
    ],
)
def test_unanswered_key_is_running_for_90_seconds_and_for_a_clock_that_is_a_little_behind(
    begin: Begin, gateway: ModelGateway, key: Key, clock: Clock, seconds: float, answer: type[Exception]
) -> None:
    payment = begin(key=key)
    clock.advance(seconds)

    with pytest.raises(answer) as raised:
        idempotency.refuse_or_replay(key)

    if isinstance(raised.value, NotAllowedError):
        assert (raised.value.code, raised.value.retry_after_seconds) == ("idempotency_conflict", 2)
        assert str(raised.value) == "The first request with this key is still running. (idempotency_conflict)"
    else:
        assert (raised.value.payment_id, raised.value.status, raised.value.body) == (payment.pk, None, None)


def test_same_key_for_another_request_is_a_mismatch(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    begin(key=key)

    with pytest.raises(NotAllowedError) as refused:
        idempotency.refuse_or_replay(idempotency.key_of(key.user, key.value, "initiate", {"amount": 1}))

    assert (refused.value.code, str(refused.value)) == (
        "idempotency_mismatch",
        "This key was used for another request. (idempotency_mismatch)",
    )


def test_each_key_of_each_user_has_an_answer_of_its_own(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    others = [replace(key, value="tap-2"), replace(key, user=User.objects.create_user("other"))]
    first, *_ = [begin(key=each, user=each.user, merchant_reference=each.value) for each in (key, *others)]

    idempotency.remember(key, 201, {})

    assert IdempotencyRecord.objects.get(answer_status=201).payment == first
    for other in others:
        with pytest.raises(NotAllowedError, match="still running"):
            idempotency.refuse_or_replay(other)


def test_forgotten_key_leaves_the_other_keys(begin: Begin, gateway: ModelGateway, key: Key) -> None:
    others = [replace(key, value="tap-2"), replace(key, user=User.objects.create_user("other"))]
    _, *kept = [begin(key=each, user=each.user, merchant_reference=each.value) for each in (key, *others)]

    idempotency.forget(key)

    assert {record.payment for record in IdempotencyRecord.objects.all()} == set(kept)


def test_repeated_request_costs_one_query(
    begin: Begin, gateway: ModelGateway, key: Key, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    payment = begin(key=key)
    idempotency.remember(key, 201, {})

    with django_assert_num_queries(1), pytest.raises(AlreadyAnswered) as answered:
        idempotency.refuse_or_replay(key)

    assert answered.value.payment_id == payment.pk


def test_first_answer_stays(begin: Begin, gateway: ModelGateway, key: Key, clock: Clock) -> None:
    begin(key=key)
    idempotency.remember(key, 201, {"id": "1"})
    idempotency.remember(key, 202, {"id": "2"})

    record = IdempotencyRecord.objects.get()
    assert (record.answer_status, record.answer_body, record.created_at) == (201, {"id": "1"}, clock.at)
    assert (record.user, record.key, record.fingerprint) == (key.user, key.value, key.fingerprint)


def test_nothing_happens_without_a_key(begin: Begin, gateway: ModelGateway) -> None:
    idempotency.refuse_or_replay(None)
    begin()
    idempotency.forget(None)

    assert not IdempotencyRecord.objects.exists()
