"""`feexpay_close_review`: it prints one line on success, and exits with 1 and the reason on a refusal."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

from django_feexpay.models import Attempt, Credit, Payment, PaymentEvent, ReviewProposal, StaffAction
from django_feexpay.payments.invariants import violations
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import only_attempt

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def staff(db: None) -> None:
    rights = Permission.objects.filter(content_type__app_label="feexpay", codename__in=["view_payment", "close_review"])
    for name in ("efua", "kofi"):
        User.objects.create_user(name).user_permissions.set(rights)


def run(payment: object, decision: str, *more: str, actor: str = "efua", reason: str = "seen") -> tuple[int, str]:
    """Run the command; return its exit code and its output."""
    out = StringIO()
    given = [str(payment), "--decision", decision, "--reason", reason, "--actor", actor, *more]
    try:
        call_command("feexpay_close_review", *given, stdout=out)
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue().strip()


def test_command_credits_feexpays_amount(start_review: Callable[..., Payment]) -> None:
    payment = start_review()

    assert run(payment.pk, "credit_taken") == (
        0,
        f"payment {payment.pk}, attempt 1: successful, credited 4\u00a0999\u00a0F\u00a0CFA",
    )
    event = PaymentEvent.objects.latest("id")
    assert (event.source, event.actor, event.note) == (
        "command",
        str(User.objects.get(username="efua").pk),
        "seen",
    )
    action = StaffAction.objects.get()
    assert (action.action, action.actor_name, action.source, action.payment_id, action.reason) == (
        *("close_review", "efua", "command"),
        *(payment.pk, "seen"),
    )


def test_command_closes_as_not_paid(missing: Payment) -> None:
    assert run(missing.pk, "not_paid") == (0, f"payment {missing.pk}, attempt 1: failed, nothing credited")
    assert list(violations()) == []


def test_two_persons_propose_and_approve(start_review: Callable[..., Payment], configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE="1000")
    payment = start_review()

    assert run(payment.pk, "credit_price") == (
        0,
        f"payment {payment.pk}, attempt 1: credit_price is proposed; a second person closes it with --approve",
    )
    assert run(payment.pk, "credit_price", "--approve")[0] == 1
    assert Credit.objects.count() == 0
    assert run(payment.pk, "credit_price", "--approve", actor="kofi")[0] == 0
    assert (Credit.objects.get().amount, ReviewProposal.objects.get().outcome) == (5000, "approved")
    steps = [(action.actor_name, action.detail["step"]) for action in StaffAction.objects.order_by("id")]
    assert steps == [("efua", "proposed"), ("kofi", "approved")]
    assert list(violations()) == []


def test_payment_that_is_not_under_review_is_refused(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()

    assert run(payment.pk, "not_paid") == (1, "This payment is not under review. (not_under_review)")
    assert (Attempt.objects.get().status, PaymentEvent.objects.count(), gateway.questions) == ("pending", 2, 0)


def test_second_run_is_refused(start_review: Callable[..., Payment]) -> None:
    payment = start_review()
    run(payment.pk, "credit_taken")

    assert run(payment.pk, "credit_taken")[0] == 1
    assert Credit.objects.count() == 1


def test_refusal_states_its_reason(start_review: Callable[..., Payment], gateway: ModelGateway) -> None:
    payment = start_review()

    assert run(payment.pk, "not_paid") == (1, "FeexPay says that money was taken. (charge_shown)")
    assert run(payment.pk, "credit_taken", reason=" ")[1].startswith("A reason is needed")
    gateway.reads_unanswered = True
    assert run(payment.pk, "credit_price")[1].startswith("FeexPay cannot be asked")
    assert only_attempt(payment).status == "review"


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ([], "feexpay.view_payment, feexpay.close_review"),
        (["view_payment"], "feexpay.close_review"),
        (["close_review"], "feexpay.view_payment"),
    ],
)
def test_actor_needs_the_permissions_that_the_admin_asks_for(
    start_review: Callable[..., Payment], gateway: ModelGateway, held: list[str], missing: str
) -> None:
    """A player, or staff of another role."""
    payment = start_review()
    user, questions = User.objects.create_user("ayo", is_staff=True), gateway.questions
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="feexpay", codename__in=held))

    done = run(payment.pk, "credit_taken", actor="ayo")

    assert done == (1, f"'ayo' may not do this: the user lacks the permission {missing}. Nothing was changed.")
    assert (only_attempt(payment).status, StaffAction.objects.count(), gateway.questions) == ("review", 0, questions)


def test_actor_is_an_active_user(start_review: Callable[..., Payment]) -> None:
    User.objects.create_superuser("esi", is_active=False)
    payment = start_review()

    for name in ("esi", "nobody"):
        assert run(payment.pk, "credit_taken", actor=name) == (1, f"there is no active user {name!r}.")
    assert only_attempt(payment).status == "review"


def test_second_person_needs_the_permissions_too(start_review: Callable[..., Payment], configure: Configure) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE="1000")
    payment = start_review()
    run(payment.pk, "credit_price")
    User.objects.create_user("ayo")

    assert run(payment.pk, "credit_price", "--approve", actor="ayo")[1].startswith("'ayo' may not do this")
    assert Credit.objects.count() == 0


def test_unknown_payment_is_refused() -> None:
    unknown = uuid4()

    assert run(unknown, "not_paid") == (1, f"there is no payment {unknown}")


@pytest.mark.parametrize("given", [["no-id"], [str(uuid4()), "--decision", "refund"]])
def test_wrong_arguments_are_named(given: list[str]) -> None:
    with pytest.raises(CommandError, match="ID|decision"):
        call_command("feexpay_close_review", *given, "--reason", "x", "--actor", "efua")
