from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.lifecycle import Status
from django_feexpay.models import Payment, Payout
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.conftest import Configure
from tests.payment_fixtures import Begin, MakeOrder
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, Guard, only_attempt
from tests.payments.reviewing import SHORT, put_under_review
from tests.payments.watch import Watch
from tests.sandbox.running import RunningSandbox

#: Tests import these types from here.
__all__ = ["Begin", "Configure", "MakeOrder"]

if TYPE_CHECKING:
    from tests.payments.paying_out import Tap


@pytest.fixture(autouse=True)
def guarded_calls_and_any_price(real_socket: None, any_price: None) -> None:
    """Every test: a call inside a transaction fails it, and payers pay what they like."""


@pytest.fixture
def history(gateway: ModelGateway, guard: Guard, clock: Clock) -> FakeHistory:
    """FeexPay in memory, with a history of rows that the test writes; it is noon."""
    clock.at = clock.at.replace(hour=12)
    history = FakeHistory(gateway)
    guard.inner = history
    return history


@pytest.fixture
def ama(db: None) -> User:
    return User.objects.create_user("staff-ama", is_staff=True)


@pytest.fixture
def kofi(db: None) -> User:
    return User.objects.create_user("staff-kofi", is_staff=True)


@pytest.fixture
def start_review(begin: Begin, gateway: ModelGateway) -> Callable[..., Payment]:
    """`start_review(amount=4999)`: a payment under review, because FeexPay reports it paid with these wrong fields."""

    def make(order: str = "order-7", **lies: Any) -> Payment:
        payment = begin(merchant_reference=order)
        gateway.last().approve()
        gateway.last().lies = lies or dict(SHORT)
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
        payment.refresh_from_db()
        assert payment.status == Status.REVIEW
        return payment

    return make


@pytest.fixture
def lost(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """FeexPay accepted it as `ref-0001`; its answer to us was lost."""
    gateway.next_collects = [lose_the_answer]
    return begin(merchant_reference="order-1")


@pytest.fixture
def missing(begin: Begin, gateway: ModelGateway) -> Payment:
    """A payment under review whose answer was lost and that FeexPay's history does not have."""
    gateway.next_collects.append(lose_the_answer)
    payment = begin(merchant_reference="order-7")
    gateway.forget(gateway.last())
    put_under_review(payment)
    return payment


@pytest.fixture
def page(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """A card page, paid as `card-0001`."""
    payment = begin(provider="visa", phone="")
    gateway.pay_on_page().approve()
    return payment


@pytest.fixture
def watch(gateway: ModelGateway, guard: Guard) -> Watch:
    """A transport that records what FeexPay is asked, and with which deadlines."""
    guard.inner = watch = Watch(guard.inner)
    return watch


# --- payouts: their helpers import this module, so it imports them late --------------------------------


@pytest.fixture
def tap(guard: Guard, sandbox: RunningSandbox, configure: Configure) -> Iterator[Tap]:
    """Payouts are on, and all calls go through a Tap."""
    from tests.payments import paying_out

    configure(PAYOUTS=True)
    guard.inner = tap = paying_out.Tap()
    yield tap
    tap.inner.close()


@pytest.fixture
def credited(begin: Begin, tap: Tap, sandbox: RunningSandbox, clock: Clock) -> Payment:
    """A payment of 5 000 F CFA, credited at the sandbox."""
    from tests.payments import paying_out

    return paying_out.credit(begin, sandbox, clock)


@pytest.fixture
def lost_payout(credited: Payment, sandbox: RunningSandbox) -> Payout:
    """A payout that FeexPay paid, and whose answer did not arrive."""
    from tests.payments import paying_out

    return paying_out.lose(credited, sandbox)
