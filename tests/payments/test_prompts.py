"""The number of payment prompts per phone is limited, for all users together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from django_feexpay import python_api
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Attempt, IdempotencyRecord, Payment, PromptLift, Provider
from django_feexpay.payments import idempotency, initiate, invariants, prompts
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest, msisdn_of
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, cannot_reach, charge_and_answer, lose_the_answer, refuse
from tests.payments.fakes import Clock, sweep, sweep_until_final
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

NUMBER = "0161000050"


@pytest.fixture(autouse=True)
def default_limit(configure: Configure) -> None:
    configure(PROMPTS_PER_PHONE=5)


@pytest.fixture
def start_another(begin: Begin) -> Callable[..., Payment]:
    """Start a payment with a new player and a new amount each time."""
    count = 0

    def start(**changes: Any) -> Payment:
        nonlocal count
        count += 1
        user = get_user_model().objects.create_user(f"player-{count}")
        return begin(**{"user": user, "amount": 1000 + count, **changes})

    return start


StartAnother = Callable[..., Payment]


def refusal(work: Callable[[], object]) -> NotAllowedError:
    """Return the refusal of `work`, and check that no row was written."""
    before = rows()
    with pytest.raises(NotAllowedError) as refused:
        work()
    assert rows() == before
    return refused.value


def rows() -> tuple[int, ...]:
    return Payment.objects.count(), Attempt.objects.count(), IdempotencyRecord.objects.count()


def msisdn() -> Msisdn:
    found = msisdn_of(NUMBER, CATALOGUE["mtn_bj"])
    assert found is not None
    return found


def test_sixth_prompt_within_an_hour_is_refused(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    for _ in range(5):
        start_another()
        clock.advance(60)

    error = refusal(start_another)

    assert (error.code, error.retry_after_seconds) == ("too_many_prompts", 3600 - 300)
    assert "55 minutes" in error.message
    assert len(gateway.charges) == 5
    assert start_another(phone="0161000051").status == "pending"  # another number is another phone


def test_start_is_admitted_after_the_wait_in_the_refusal_and_not_before(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    for _ in range(5):
        start_another()
        clock.advance(60)
    wait = refusal(start_another).retry_after_seconds
    assert wait is not None

    clock.advance(wait - 2)
    refusal(start_another)
    clock.advance(2)

    assert start_another().status == "pending"
    assert refusal(start_another).retry_after_seconds == 60


def test_fourth_prompt_of_one_amount_within_ten_minutes_is_refused(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    for _ in range(3):
        start_another(amount=5000)

    assert refusal(lambda: start_another(amount=5000)).retry_after_seconds == 600
    assert start_another(amount=5001).status == "pending"
    clock.advance(600)
    assert start_another(amount=5000).status == "pending"


def test_of_sixty_queued_starts_at_once_exactly_five_pass(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    codes: Counter[str] = Counter()
    for _ in range(60):
        try:
            codes[start_another().status] += 1
        except NotAllowedError as error:
            codes[error.code] += 1
    sweep()

    assert codes == {"created": 5, "too_many_prompts": 55}
    assert len(gateway.charges) == 5


@pytest.mark.parametrize("ending", ["declined", "lost", "paid"])
def test_attempt_that_was_or_may_have_been_sent_counts(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, ending: str
) -> None:
    for _ in range(5):
        if ending == "lost":
            gateway.next_collects.append(lose_the_answer)
        payment = start_another()
        if ending != "lost":
            gateway.last().decline() if ending == "declined" else gateway.last().approve()
            sweep_until_final(payment, clock)

    assert refusal(start_another).code == "too_many_prompts"


def test_attempt_that_feexpay_refused_does_not_count(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    for _ in range(6):
        gateway.next_collects.append(refuse())
        assert start_another().status == "rejected"

    assert start_another().status == "pending"


def test_doubtful_refusal_counts(start_another: StartAnother, gateway: ModelGateway, clock: Clock) -> None:
    """Each time FeexPay prompts the phone and answers 400 with an undocumented text."""
    gateway.next_collects = [charge_and_answer(400, {"message": "Bad Request"}, names_it=False)] * 60
    for _ in range(5):
        assert start_another().status == "rejected"

    assert refusal(start_another).code == "too_many_prompts"


def test_refusal_of_a_synchronous_provider_counts(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    moov = {"provider": "moov_bj", "phone": CATALOGUE["moov_bj"].phone.example}
    for _ in range(5):
        gateway.next_collects.append(refuse("LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"))
        start_another(**moov)
        sweep()
    assert set(Attempt.objects.values_list("status", flat=True)) == {"rejected"}

    assert refusal(lambda: start_another(**moov)).code == "too_many_prompts"


def test_attempt_that_never_left_does_not_count(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    gateway.next_collects += [cannot_reach] * 100
    for _ in range(5):
        start_another()
    assert refusal(start_another).code == "too_many_prompts"  # they wait to be sent
    clock.advance(900)
    sweep()
    assert set(Attempt.objects.values_list("status", flat=True)) == {"expired"}
    gateway.next_collects.clear()

    assert start_another().status == "pending"


@pytest.mark.parametrize(
    ("provider", "phone"), [("coris_bj", "0161000050"), ("wave_ci", "0700000050"), ("visa", "")], ids=str
)
def test_only_push_flows_are_counted_and_limited(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, provider: str, phone: str
) -> None:
    for _ in range(7):
        start_another(provider=provider, phone=phone)

    assert Payment.objects.count() == 7
    assert not prompts.counted().exists()


def test_repeated_request_gets_its_own_answer_and_no_429(
    begin: Begin, start_another: StartAnother, gateway: ModelGateway, clock: Clock, player: Any
) -> None:
    key = idempotency.key_of(player, "k", "initiate", {})
    first = begin(key=key, merchant_reference="order-7")
    idempotency.remember(key, 201, {})
    for _ in range(4):
        start_another()
    assert refusal(start_another).code == "too_many_prompts"

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=key, merchant_reference="order-7")
    assert answered.value.payment_id == first.pk
    assert refusal(lambda: begin(merchant_reference="order-7")).code == "duplicate_payment"


@pytest.fixture
def declined(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    payment = begin()
    gateway.last().decline()
    return sweep_until_final(payment, clock)


@pytest.mark.parametrize("phone", ["", "+229 01 61 00 00 50"], ids=["same number", "number typed again"])
def test_retry_is_refused_like_a_start(
    declined: Payment, start_another: StartAnother, gateway: ModelGateway, clock: Clock, phone: str
) -> None:
    for _ in range(4):
        start_another()

    error = refusal(lambda: retry(declined.pk, source=Source.API, phone=phone))

    assert error.code == "too_many_prompts"
    declined.refresh_from_db()
    assert (declined.status, declined.attempt.ordinal) == ("failed", 1)
    assert retry(declined.pk, source=Source.API, phone="0161000051").status == "pending"


def test_retry_with_a_number_over_the_limit_is_refused(
    begin: Begin, start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin(phone="0161000099")
    gateway.last().decline()
    sweep_until_final(payment, clock)
    for _ in range(5):
        start_another()

    assert refusal(lambda: retry(payment.pk, source=Source.API, phone=NUMBER)).code == "too_many_prompts"


def test_start_by_the_hosts_code_is_limited(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, player: Any
) -> None:
    for _ in range(5):
        start_another()

    with pytest.raises(NotAllowedError) as refused:
        python_api.start_payment(user=player, provider="mtn_bj", amount=700, phone=NUMBER)

    assert refused.value.code == "too_many_prompts"


def test_zero_is_no_limit(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(PROMPTS_PER_PHONE=0)
    for _ in range(8):
        start_another(amount=5000)

    assert len(gateway.charges) == 8


# --- lifted by staff ---------------------------------------------------------------------------------


def test_lift_admits_prompts_until_it_ends(start_another: StartAnother, gateway: ModelGateway, clock: Clock) -> None:
    for _ in range(5):
        start_another()
    refusal(start_another)
    prompts.lift(msisdn(), lasts=timedelta(minutes=30), actor="7", reason="the payer called")

    for _ in range(3):
        start_another(amount=5000)
    clock.advance(1800)

    assert refusal(start_another).code == "too_many_prompts"
    kept = PromptLift.objects.get()
    assert (kept.masked_msisdn, kept.actor, kept.reason) == ("+229 01 •• •• •• 50", "7", "the payer called")
    assert "61000050" not in repr(vars(kept))


def test_lift_is_for_one_number(start_another: StartAnother, gateway: ModelGateway, clock: Clock) -> None:
    prompts.lift(msisdn(), lasts=timedelta(hours=1), actor="7", reason="the payer called")
    for _ in range(5):
        start_another(phone="0161000051")

    assert refusal(lambda: start_another(phone="0161000051")).code == "too_many_prompts"


@pytest.mark.parametrize(
    "wrong",
    [{"lasts": timedelta()}, {"lasts": timedelta(hours=25)}, {"actor": ""}, {"reason": " "}],
    ids=["no time", "too long", "no actor", "no reason"],
)
def test_lift_needs_an_actor_a_reason_and_a_bounded_end(wrong: dict[str, Any]) -> None:
    lift: dict[str, Any] = {"lasts": timedelta(hours=1), "actor": "7", "reason": "the payer called"}

    with pytest.raises(ValueError, match="a lift needs"):
        prompts.lift(msisdn(), **{**lift, **wrong})

    assert not PromptLift.objects.exists()


# --- concurrency --------------------------------------------------------------------------------------


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dispatch", ["inline", "queue"])
def test_sixty_players_at_once_prompt_one_phone_five_times(
    gateway: ModelGateway, configure: Configure, dispatch: str
) -> None:
    configure(DISPATCH=dispatch)
    users = [get_user_model().objects.create_user(f"player-{number}") for number in range(60)]

    def start(number: int) -> Payment:
        payment_request = PaymentRequest(user=users[number], provider="mtn_bj", amount=1000 + number, phone=NUMBER)
        return initiate.start(payment_request, source=Source.API)

    answers = at_once(60, start)
    connection.close()
    sweep()

    codes = Counter(answer.code if isinstance(answer, NotAllowedError) else type(answer).__name__ for answer in answers)
    assert codes == {"Payment": 5, "too_many_prompts": 55}
    assert (Payment.objects.count(), Attempt.objects.count(), len(gateway.charges)) == (5, 5, 5)
    assert not list(invariants.violations(["I18"]))


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_starts_and_retries_across_numbers_at_once_do_not_deadlock(gateway: ModelGateway, configure: Configure) -> None:
    """Every player starts and retries payments on the other players' numbers."""
    configure(PROMPTS_PER_PHONE=5)
    users = [get_user_model().objects.create_user(f"player-{number}") for number in range(6)]
    numbers = [f"016100005{number}" for number in range(3)]
    for user in users:
        payment_request = PaymentRequest(user=user, provider="mtn_bj", amount=900, phone="0161000099")
        configure(PROMPTS_PER_PHONE=0)
        initiate.start(payment_request, source=Source.API)
        gateway.last().decline()
    configure(PROMPTS_PER_PHONE=5)
    failed = list(Payment.objects.values_list("pk", flat=True))

    def act(number: int) -> Payment:
        phone = numbers[number % 3]
        if number < 6:
            return retry(failed[number], source=Source.API, phone=phone)
        payment_request = PaymentRequest(user=users[number % 6], provider="mtn_bj", amount=1000 + number, phone=phone)
        return initiate.start(payment_request, source=Source.API)

    answers = at_once(24, act)

    codes = Counter(answer.code if isinstance(answer, NotAllowedError) else type(answer).__name__ for answer in answers)
    assert codes == {"Payment": 15, "too_many_prompts": 9}


# --- prompts over the limit in stored rows ------------------------------------------------------------


def test_prompts_over_the_limit_are_found(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(PROMPTS_PER_PHONE=0)
    for _ in range(6):
        start_another()
    assert not list(invariants.violations(["I18"]))
    configure(PROMPTS_PER_PHONE=5)

    [found] = invariants.violations(["I18"])

    newest = Attempt.objects.order_by("-created_at", "-pk").first()
    assert newest is not None
    assert found.problem == "6 prompts to its number within the hour, 5 are allowed"
    assert "61000050" not in str(found)


def test_same_amount_over_the_limit_is_found(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(PROMPTS_PER_PHONE=0)
    for _ in range(4):
        start_another(amount=5000)
    configure(PROMPTS_PER_PHONE=5)

    assert [found.problem for found in invariants.violations(["I18"])] == [
        "4 prompts of 5000 to its number within ten minutes, 3 are allowed"
    ]


def test_number_with_a_lift_is_no_violation(start_another: StartAnother, gateway: ModelGateway, clock: Clock) -> None:
    prompts.lift(msisdn(), lasts=timedelta(minutes=1), actor="7", reason="the payer called")
    for _ in range(6):
        start_another(amount=5000)
    clock.advance(300)

    assert not list(invariants.violations(["I18"]))


def test_provider_that_staff_set_to_push_is_limited(
    start_another: StartAnother, gateway: ModelGateway, clock: Clock
) -> None:
    Provider.objects.filter(pk="coris_bj").update(flow="push")
    coris = {"provider": "coris_bj", "phone": "0161000050"}
    for _ in range(5):
        start_another(**coris)

    assert refusal(lambda: start_another(**coris)).code == "too_many_prompts"
    assert refusal(start_another).code == "too_many_prompts"  # the same number at another operator
