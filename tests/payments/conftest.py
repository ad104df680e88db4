from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from django_feexpay import conf
from django_feexpay.gateway.transport import HttpTransport
from django_feexpay.lifecycle import Status
from django_feexpay.models import Payment, Payout, Provider
from django_feexpay.payments import initiate
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.outbox import SIGNALS
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import PaymentRequest
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, Guard, Recorder, only_attempt
from tests.payments.reviewing import SHORT, put_under_review
from tests.sandbox.running import RunningSandbox

if TYPE_CHECKING:
    from tests.payments.paying_out import Tap

MakeOrder = Callable[..., PaymentRequest]
Begin = Callable[..., Payment]


@pytest.fixture(autouse=True)
def free_top_up(configure: Configure) -> None:
    """Switch the sample shop's prices off, unless a test sets PAYABLE."""
    configure(PAYABLE="any_amount")


@pytest.fixture(autouse=True)
def guard() -> Iterator[Guard]:
    """Fail a test that calls the gateway inside a transaction."""
    transport = HttpTransport()
    guard = Guard(transport)
    with conf.use_transport(guard):
        yield guard
    transport.close()
    assert guard.offences == []


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure) -> RunningSandbox:
    """The sandbox on a real socket, emptied; its time runs a hundred times faster."""
    running_sandbox.reset()
    configure(BASE_URL=running_sandbox.api_url)
    return running_sandbox


@pytest.fixture
def history(gateway: ModelGateway, guard: Guard, clock: Clock) -> FakeHistory:
    """FeexPay in memory, with a history of rows that the test writes; it is noon."""
    clock.at = clock.at.replace(hour=12)
    history = FakeHistory(gateway)
    guard.inner = history
    return history


@pytest.fixture
def player(db: None) -> User:
    user: User = get_user_model().objects.create_user("ama", password="x")
    return user


@pytest.fixture
def order(player: User) -> MakeOrder:
    """`order(phone_ending="09", amount=100)`: a payment request with these changes."""

    def make(*, phone_ending: str = "50", **changes: Any) -> PaymentRequest:
        payment_request = {"user": player, "provider": "mtn_bj", "amount": 5000, "phone": f"01610000{phone_ending}"}
        return PaymentRequest(**{**payment_request, **changes})

    return make


@pytest.fixture
def begin(order: MakeOrder) -> Begin:
    """Start a payment as the API would."""

    def start(**changes: Any) -> Payment:
        key = changes.pop("key", None)
        return initiate.start(order(**changes), source=Source.API, key=key)

    return start


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
def lost(begin: Begin, gateway: ModelGateway) -> Payment:
    """A payment under review whose answer was lost and that FeexPay's history does not have."""
    gateway.next_collects.append(lose_the_answer)
    payment = begin(merchant_reference="order-7")
    gateway.forget(gateway.last())
    put_under_review(payment)
    return payment


@pytest.fixture
def signals() -> Iterator[Recorder]:
    recorder = Recorder()
    with ExitStack() as stack:
        for name, signal in SIGNALS.items():
            receiver = recorder.listen(str(name), signal)
            stack.callback(signal.disconnect, receiver, dispatch_uid=f"recorder-{name}")
        yield recorder


@pytest.fixture
def change_provider(db: None) -> Callable[..., None]:
    """`change_provider(enabled=False)`: change MTN Benin as staff does in the admin."""

    def change(code: str = "mtn_bj", **values: Any) -> None:
        provider = Provider.objects.get(pk=code)
        for name, value in values.items():
            setattr(provider, name, value)
        provider.save()

    return change


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
