"""`shop_delete_player`: the person goes from both, the package's tables and the shop's; the books stay."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from knox.models import AuthToken
from shop.models import CoinEntry, CoinPack, Order

from django_feexpay.models import Credit, Payment
from django_feexpay.payments import initiate, outbox
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import PaymentRequest
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import only_attempt

pytestmark = pytest.mark.django_db


def delete(name: str = "ama") -> str:
    out = StringIO()
    call_command("shop_delete_player", name, no_input=True, stdout=out)
    return out.getvalue()


@pytest.fixture
def begun(gateway: ModelGateway, player: User, packs: dict[str, CoinPack], configure: Configure) -> Payment:
    """A payment of an order of ama, who has a token."""
    configure(PAYABLE="shop.orders.Orders")
    pack = packs["mini"]
    bought = Order.objects.create(player=player, pack=pack)
    AuthToken.objects.create(user=player)
    wanted = PaymentRequest(
        user=player,
        provider="mtn_bj",
        amount=pack.price,
        phone="0161000050",
        merchant_reference=str(bought.pk),
        metadata={"pack": pack.code},
    )
    return initiate.start(wanted, source=Source.API)


def test_player_with_paid_orders_is_deleted_and_the_books_stay(begun: Payment, gateway: ModelGateway) -> None:
    gateway.last().approve()
    reconcile(only_attempt(begun).pk, source=Source.WORKER)
    outbox.deliver()
    assert (CoinEntry.objects.count(), Order.objects.exclude(paid_at=None).count()) == (1, 1)

    assert "The player is deleted." in delete()

    left = (User.objects, CoinEntry.objects, Order.objects, AuthToken.objects)
    assert [rows.count() for rows in left] == [0, 0, 0, 0]
    begun.refresh_from_db()
    assert (begun.user, begun.is_erased, Credit.objects.get().amount) == (None, True, begun.amount)


def test_player_whose_payment_is_open_stays_whole(begun: Payment) -> None:
    with pytest.raises(CommandError, match="1 payments of this player have to end first"):
        delete()

    assert (User.objects.count(), Order.objects.count(), AuthToken.objects.count()) == (1, 1, 1)


def test_unknown_player_is_an_error(db: None) -> None:
    with pytest.raises(CommandError, match="no player 'kofi'"):
        delete("kofi")
