"""An idempotency key is freed by a refusal, but never after an answer."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay.models import IdempotencyRecord
from django_feexpay.payments import idempotency
from django_feexpay.payments.idempotency import AlreadyAnswered, Key
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(player: Any) -> Key:
    return Key(user=player, value="tap-1", fingerprint=idempotency.fingerprint("initiate", {}))


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
    assert (answered.value.payment, answered.value.status) == (payment, 201)
    assert len(gateway.charges) == 1
