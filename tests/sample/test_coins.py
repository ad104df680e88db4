from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User
from shop.models import CoinEntry, CoinPack

from django_feexpay.models import Payment
from django_feexpay.payments import outbox
from django_feexpay.signals import payment_reversed, payment_succeeded
from tests.payments.tampering import tamper
from tests.sample.credited_payments import credited_payment


def announce(payment: Payment, event_id: uuid.UUID) -> None:
    payment_succeeded.send(sender=Payment, payment=payment, event_id=event_id)


def test_pack_gives_its_coins(player: User, packs: dict[str, CoinPack]) -> None:
    payment = credited_payment(player, amount=5_000, metadata={"pack": "champion"})

    assert outbox.deliver() == 1

    entry = CoinEntry.objects.get()
    assert (entry.player, entry.coins, entry.pack, entry.payment) == (player, 650, packs["champion"], payment)


def test_same_event_twice_gives_coins_once(player: User, packs: dict[str, CoinPack]) -> None:
    payment, event_id = credited_payment(player, amount=500, metadata={"pack": "mini"}), uuid.uuid4()

    announce(payment, event_id)
    announce(payment, event_id)

    assert CoinEntry.objects.balance_of(player) == 50


def test_two_payments_give_coins_twice(player: User, packs: dict[str, CoinPack]) -> None:
    for _ in range(2):
        announce(credited_payment(player, amount=500, metadata={"pack": "mini"}), uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == 100


@pytest.mark.parametrize(("amount", "coins"), [(100, 10), (1_235, 123), (2_000_000, 200_000)])
def test_free_top_up_gives_a_coin_for_ten_francs(player: User, amount: int, coins: int) -> None:
    announce(credited_payment(player, amount=amount), uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == coins


def test_deactivated_pack_still_gives_its_coins(player: User, packs: dict[str, CoinPack]) -> None:
    payment = credited_payment(player, amount=2_000, metadata={"pack": "standard"})
    CoinPack.objects.filter(code="standard").update(active=False)

    announce(payment, uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == 220


def test_payment_without_a_player_gives_no_coins(packs: dict[str, CoinPack]) -> None:
    announce(credited_payment(None, amount=500, metadata={"pack": "mini"}), uuid.uuid4())

    assert CoinEntry.objects.count() == 0


def test_review_closed_below_the_price_gives_coins_for_the_credited_amount(
    player: User, packs: dict[str, CoinPack]
) -> None:
    payment = credited_payment(player, amount=5_000, metadata={"pack": "champion"})
    tamper("UPDATE feexpay_credit SET amount = 4999")

    announce(Payment.objects.get(pk=payment.pk), uuid.uuid4())

    entry = CoinEntry.objects.get()
    assert (entry.coins, entry.pack) == (499, None)


def test_reversal_is_logged_and_takes_no_coins(
    player: User, packs: dict[str, CoinPack], caplog: pytest.LogCaptureFixture
) -> None:
    payment = credited_payment(player, amount=5_000, metadata={"pack": "champion"})
    outbox.deliver()

    for _ in range(2):
        payment_reversed.send(sender=Payment, payment=payment, event_id=uuid.uuid4())

    assert CoinEntry.objects.balance_of(player) == 650
    assert f"payment {payment.pk} was reversed by FeexPay after 650 coins were given" in caplog.text
