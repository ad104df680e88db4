"""`feexpay_export_subject` and `feexpay_erase_subject`: all of a person, the books untouched, the user deletable."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError

from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Checkout,
    Credit,
    Erasure,
    IdempotencyRecord,
    Incident,
    NotificationOptOut,
    OutboxMessage,
    Payment,
    Payout,
    PromptLift,
    Purge,
    Refund,
    ReportFile,
    StaffAction,
    WebhookDelivery,
)
from django_feexpay.models.fields import Sealed
from django_feexpay.payments import initiate, outbox, prompts, refunds, retry
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.privacy import erasure, purge, subjects
from tests.admin.conftest import make_checkout, make_payout
from tests.payments.conftest import Begin, MakeOrder
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.threads import at_once
from tests.privacy.conftest import NUMBER, OLD_WRITING, PAYER, Run, Settle, pass_days

pytestmark = pytest.mark.django_db

DETAILS = {
    "description": "Coins for Afiavi",
    "metadata": {"player": "Afiavi Z."},
    "return_url": "https://testserver/afiavi/",
    "return_hosts": ("testserver",),
}
#: What must be nowhere in the tables once this payer is erased.
TRACES = ("Afiavi", "afiavi", OLD_WRITING, "•• 50", "tap-0")


def stored() -> str:
    """Every column of every table of the app."""
    rows = []
    with connection.cursor() as cursor:
        for model in apps.get_app_config("feexpay").get_models():
            cursor.execute(f"SELECT * FROM {model._meta.db_table}")  # noqa: S608 -- our own names
            rows += [bytes(cell) if isinstance(cell, memoryview) else cell for row in cursor for cell in row]
    return "\n".join(map(repr, rows))


def traces() -> list[str]:
    text = stored()
    return [trace for trace in TRACES if trace in text]


def broken() -> list[str]:
    return [str(violation) for violation in violations()]


def books() -> list[Any]:
    """What accounting needs of every payment."""
    columns = ("pk", "status", "amount", "currency", "charged_amount", "fee", "merchant_reference", "settled_at")
    money = list(Payment.objects.order_by("pk").values_list(*columns, "attempts__gateway_reference", "credit__amount"))
    return money + list(Refund.objects.order_by("pk").values_list("amount", "state", "outside_reference"))


@pytest.fixture
def paid(settle: Settle, player: User, clock: Clock) -> Payment:
    """A payment of ama with everything about its payer, a refund by payout, a lift and a file."""
    payment = settle(merchant_reference="order-7", **PAYER, **DETAILS)
    make_payout(payment)
    Payout.objects.update(state="failed", reason_code="x", msisdn_sealed=Sealed.of(PAYER), next_poll_at=None)
    Refund.objects.filter(way="payout").update(state="cancelled", cancelled_by="1", cancelled_at=clock.at)
    [msisdn] = subjects.possible_msisdns(f"+{NUMBER}")
    prompts.lift(msisdn, lasts=timedelta(hours=1), actor="1", reason="asked by phone")
    ReportFile.objects.create(
        user=player,
        list_name="payment",
        file_name="payments.csv",
        file_format="csv",
        language="fr",
        filter=Sealed.of({"query": ""}),
        rows_total=1,
        created_at=clock.at,
        expires_at=clock.at + timedelta(days=2),
    )
    return payment


# --- erase ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["user", "number"])
def test_person_goes_and_the_books_stay(by: str, paid: Payment, settle: Settle, run: Run, clock: Clock) -> None:
    other = settle(user=User.objects.create_user("kofi"), phone_ending="51", merchant_reference="order-7")
    before, other_row = books(), str(Attempt.objects.filter(payment=other).values().get())
    words = ("--user", "ama") if by == "user" else ("--number",)
    reference = str(only_attempt(paid).gateway_reference)
    body = {"reason": "Afiavi"}  # what a webhook said, as if the rule for texts had let it pass
    WebhookDelivery.objects.create(
        dedupe_key="1", attempt=only_attempt(paid), gateway_reference=reference, body=body, received_at=clock.at
    )
    assert set(traces()) == set(TRACES) - {OLD_WRITING}  # the number itself is encrypted

    printed = run("feexpay_erase_subject", *words, "--reason", "letter of 3 May", typed=f"+{NUMBER}\n")

    assert "1 payments erased, 0 wait" in printed
    assert traces() == []
    assert books() == before
    assert broken() == []
    assert str(Attempt.objects.filter(payment=other).values().get()) == other_row
    paid.refresh_from_db()
    attempt = only_attempt(paid)
    assert (paid.user_id is None, paid.is_erased) == ((True, True) if by == "user" else (False, False))
    assert (attempt.msisdn_hash, attempt.msisdn_sealed, attempt.masked_msisdn) == ("", None, "")
    action = StaffAction.objects.get(action="erase_subject")
    assert (action.actor, action.reason, action.source) == ("feexpay_erase_subject", "letter of 3 May", "command")
    assert action.detail == ({"by": "user", "user": str(paid_user().pk)} if by == "user" else {"by": "number"})
    row = Erasure.objects.get()
    assert (row.state, row.payment_count, row.number_sealed) == ("done", 1, None)


def test_way_back_from_the_checkout_goes_with_its_payer(settle: Settle, player: User, run: Run) -> None:
    """A shop may write an account or an order into it."""
    payment = settle(phone_ending="51")
    Checkout.objects.filter(pk=make_checkout(payment).pk).update(return_url="/a/afiavi/", cancel_url="/a/afiavi/")
    run("feexpay_erase_subject", "--number", typed="+2290161000051\n")
    assert Checkout.objects.get().return_url == "/a/afiavi/"  # the payment is still the user's

    run("feexpay_erase_subject", "--user", "ama")

    assert "afiavi" not in stored()


def paid_user() -> User:
    return User.objects.get(username="ama")


def test_user_can_be_deleted_only_after_the_erasure(paid: Payment, player: User, run: Run) -> None:
    NotificationOptOut.objects.create(user=player, created_at=paid.created_at)
    with pytest.raises(ProtectedError):
        player.delete()

    run("feexpay_erase_subject", "--user", "ama")
    player.delete()

    assert (Payment.objects.count(), NotificationOptOut.objects.count()) == (1, 0)
    assert broken() == []
    with pytest.raises(CommandError, match="there is no user 'ama'"):
        run("feexpay_erase_subject", "--user", "ama")


def test_erasing_twice_finds_nothing_left(paid: Payment, run: Run) -> None:
    run("feexpay_erase_subject", "--user", "ama")
    before = Payment.objects.values().get()

    assert "0 payments erased, 0 wait" in run("feexpay_erase_subject", "--user", "ama")
    assert "0 payments erased, 0 wait" in run("feexpay_erase_subject", "--number", typed=NUMBER)
    assert Payment.objects.values().get() == before
    assert [row.state for row in Erasure.objects.all()] == ["done"] * 3


@pytest.mark.parametrize("by", ["user", "number"])
def test_open_payment_waits_and_the_purge_completes(
    by: str, begin: Begin, gateway: ModelGateway, run: Run, clock: Clock
) -> None:
    payment = begin(merchant_reference="order-7", **DETAILS)
    words = ("--user", "ama") if by == "user" else ("--number",)

    assert "0 payments erased, 1 wait" in run("feexpay_erase_subject", *words, typed=NUMBER)
    assert "0 payments can be erased now, 1 have to wait" in run(
        "feexpay_erase_subject", *words, "--dry-run", typed=NUMBER
    )
    gateway.last().approve()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    purge.run(source=Source.WORKER)
    assert Erasure.objects.get().state == "waiting"  # the shop was not told yet
    outbox.deliver()
    purge.run(source=Source.WORKER)

    row = Erasure.objects.get()
    assert (row.state, row.payment_count, row.waiting_count, row.number_sealed) == ("done", 1, 0, None)
    assert Purge.objects.latest("id").counts["erasures"] == 1
    assert [trace for trace in ("Afiavi", OLD_WRITING) if trace in stored()] == []
    assert Credit.objects.get().payment_id == payment.pk
    assert broken() == []


def test_erasure_whose_key_is_lost_does_not_stop_the_others(
    begin: Begin, gateway: ModelGateway, run: Run, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    begin()
    for _ in range(2):
        run("feexpay_erase_subject", "--number", typed=NUMBER)
    Erasure.objects.filter(pk=Erasure.objects.earliest("id").pk).update(number_sealed=Sealed(b"of another key"))
    gateway.last().approve()
    reconcile(Attempt.objects.get().pk, source=Source.WORKER)
    outbox.deliver()

    assert purge.run(source=Source.WORKER).counts["erasures"] == 1
    assert "waits: no key of FIELD_KEYS" in caplog.text


def test_failed_payment_waits_for_its_late_success(
    settle: Settle, gateway: ModelGateway, run: Run, clock: Clock
) -> None:
    """The payer of a late success must be known, so that the right person gets what was paid for."""
    settle(approved=False)

    assert "0 payments erased, 1 wait" in run("feexpay_erase_subject", "--user", "ama")
    pass_days(clock, 6.9)
    assert purge.run(source=Source.WORKER).counts["erasures"] == 0
    pass_days(clock, 0.2)

    assert purge.run(source=Source.WORKER).counts["erasures"] == 1


@pytest.mark.parametrize("what", ["refund", "incident", "signal"])
def test_money_on_the_way_keeps_its_payer(what: str, settle: Settle, run: Run, clock: Clock, settings: Any) -> None:
    settings.FEEXPAY = {**settings.FEEXPAY, "PAYOUTS": True}
    payment = settle()
    if what == "refund":
        refunds.record(payment.pk, amount=900, way="payout", reason="x", actor="1", source=Source.ADMIN)
    elif what == "incident":
        Incident.objects.create(
            kind="reversed_after_credit", payment=payment, attempt=payment.attempt, opened_at=clock.at
        )
    else:
        OutboxMessage.objects.update(delivered_at=None, next_delivery_at=clock.at)

    assert "0 payments erased, 1 wait" in run("feexpay_erase_subject", "--user", "ama")
    assert only_attempt(payment).msisdn_hash != ""


def test_payment_after_the_request_is_not_erased(settle: Settle, run: Run, clock: Clock, begin: Begin) -> None:
    settle(approved=False, merchant_reference="a")
    run("feexpay_erase_subject", "--user", "ama")
    clock.advance(60)
    later = settle(merchant_reference="b")

    pass_days(clock, 8)
    purge.run(source=Source.WORKER)

    assert Erasure.objects.get().state == "done"
    later.refresh_from_db()
    assert later.user is not None


def test_two_charges_of_an_erased_order_are_still_known_as_such(
    settle: Settle, gateway: ModelGateway, run: Run, clock: Clock
) -> None:
    """The first expired, the second was paid, then the first one was taken too, after the person was erased."""
    first = settle(approved=False, merchant_reference="order-7")
    settle(merchant_reference="order-7")
    pass_days(clock, 8)
    run("feexpay_erase_subject", "--user", "ama")

    gateway.charges[0].approve()
    reconcile(only_attempt(first).pk, source=Source.WORKER)

    assert Incident.objects.get().kind == "duplicate_charge"
    assert broken() == []


@pytest.mark.parametrize("as_guest", [False, True])
def test_paid_payment_of_an_order_waits_for_the_late_success_of_another_one(
    settle: Settle, gateway: ModelGateway, run: Run, clock: Clock, as_guest: bool
) -> None:
    """Found by `make simulate`: else the second charge of the order would open no incident."""
    whose: dict[str, Any] = {"user": None} if as_guest else {}
    first = settle(approved=False, merchant_reference="order-7", **whose)
    settle(merchant_reference="order-7", **whose)
    if not as_guest:
        assert "0 payments erased, 2 wait" in run("feexpay_erase_subject", "--user", "ama")
    assert not erasure.ready(Payment.objects.all(), clock.at).exists()

    gateway.charges[0].approve()
    reconcile(only_attempt(first).pk, source=Source.WORKER)

    assert Incident.objects.get().kind == "duplicate_charge"
    outbox.deliver()
    assert not erasure.ready(Payment.objects.all(), clock.at).exists()  # the incident of one payment is open
    assert broken() == []


def test_order_of_an_erased_person_is_no_order_of_a_guest(
    settle: Settle, run: Run, order: MakeOrder, gateway: ModelGateway
) -> None:
    settle(merchant_reference="pack-1")
    run("feexpay_erase_subject", "--user", "ama")

    guest = initiate.start(order(user=None, merchant_reference="pack-1", phone_ending="51"), source=Source.HOST)
    gateway.last().approve()
    reconcile(only_attempt(guest).pk, source=Source.WORKER)

    assert Incident.objects.count() == 0
    assert Credit.objects.count() == 2


def test_order_keeps_its_pseudonym_when_the_key_changes_between_two_erasures(
    settle: Settle, run: Run, clock: Clock, configure: Callable[..., None]
) -> None:
    """The user asked twice to be erased, and started the order again in between."""
    configure(HASH_KEY=["the hash key of last year, long enough"])
    first = settle(approved=False, merchant_reference="order-7")
    pass_days(clock, 8)
    run("feexpay_erase_subject", "--user", "ama")
    second = settle(approved=False, merchant_reference="order-7")
    configure(HASH_KEY=["the hash key of this year, long enough", "the hash key of last year, long enough"])
    pass_days(clock, 8)

    run("feexpay_erase_subject", "--user", "ama")

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.pseudonym == second.pseudonym != ""
    assert (second.erased_at - first.erased_at).days == 8


def test_payment_of_an_erased_person_cannot_be_retried(settle: Settle, run: Run, clock: Clock) -> None:
    payment = settle(approved=False)
    pass_days(clock, 8)
    run("feexpay_erase_subject", "--user", "ama")

    with pytest.raises(NotAllowedError) as refused:
        retry.retry(payment.pk, source=Source.ADMIN)

    assert refused.value.code == "not_retryable"


def test_payer_who_is_erased_during_a_retry_is_not_asked_again(
    settle: Settle, run: Run, clock: Clock, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = settle(approved=False)
    pass_days(clock, 8)
    ask = retry.reconcile

    def erase_meanwhile(*args: Any, **kwargs: Any) -> bool:
        run("feexpay_erase_subject", "--user", "ama")
        return ask(*args, **kwargs)

    monkeypatch.setattr(retry, "reconcile", erase_meanwhile)

    with pytest.raises(NotAllowedError) as refused:
        retry.retry(payment.pk, source=Source.API, phone="0161000051")

    assert refused.value.code == "not_retryable"
    assert Payment.objects.get().is_erased
    assert (Attempt.objects.get().masked_msisdn, len(gateway.charges)) == ("", 1)


def test_payers_of_old_payments_are_erased(settle: Settle, clock: Clock, configure: Callable[..., None]) -> None:
    configure(RETENTION={"payers": "2y"})
    settle(merchant_reference="order-7", **DETAILS)
    pass_days(clock, 729)
    assert purge.run(source=Source.WORKER).counts["payers"] == 0
    pass_days(clock, 2)

    assert purge.run(source=Source.WORKER).counts["payers"] == 1

    assert traces() == []
    assert broken() == []


@pytest.mark.postgres_only
def test_paid_payout_lets_only_its_number_go(paid: Payment, run: Run) -> None:
    """The trigger that keeps paid payouts as they are."""
    Payout.objects.update(state="successful", gateway_reference="out-1", msisdn_sealed=None)
    for change in ({"amount": 1}, {"masked_msisdn": "+229 99"}, {"masked_msisdn": "", "amount": 1}):
        with pytest.raises(DatabaseError, match="paid ones as they are"), transaction.atomic():
            Payout.objects.update(**change)

    run("feexpay_erase_subject", "--user", "ama")

    assert Payout.objects.get().masked_msisdn == ""


# --- the input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["feexpay_export_subject", "feexpay_erase_subject"])
def test_number_is_never_quoted_and_never_an_argument(
    command: str, paid: Payment, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for typed, words in (("12345", "not a phone number"), ("61000050123456", "not a phone number")):
            with pytest.raises(CommandError, match=words) as refused:
                run(command, "--number", typed=typed)
            assert typed not in str(refused.value)
        with pytest.raises(CommandError):
            run(command, "--number", NUMBER)
        with pytest.raises(CommandError, match="country code"):
            run(command, "--number", typed="97000050")
        run(command, "--number", typed=f"+{NUMBER}")

    assert [trace for trace in (OLD_WRITING, "97000050") if trace in caplog.text] == []


@pytest.mark.parametrize("command", ["feexpay_erase_subject", "feexpay_export_subject"])
def test_actor_is_no_player(paid: Payment, run: Run, command: str) -> None:
    User.objects.create_user("esi")

    with pytest.raises(CommandError, match="'esi' is not staff"):
        run(command, "--user", "ama", "--actor", "esi")

    assert not StaffAction.objects.filter(action__in=["erase_subject", "export_subject"]).exists()


def test_actor_is_an_active_user(paid: Payment, run: Run) -> None:
    User.objects.create_user("gone", is_active=False)
    boss = User.objects.create_user("boss", is_staff=True)
    for name in ("gone", "nobody"):
        with pytest.raises(CommandError, match="no active user"):
            run("feexpay_erase_subject", "--user", "ama", "--actor", name)

    run("feexpay_erase_subject", "--user", "ama", "--actor", "boss")

    action = StaffAction.objects.get(action="erase_subject")
    assert (action.actor, action.actor_name) == (str(boss.pk), "boss")


# --- export ----------------------------------------------------------------------------------------------


def test_export_by_user_holds_every_row_and_column_about_the_person(paid: Payment, run: Run) -> None:
    exported = json.loads(run("feexpay_export_subject", "--user", "ama"))

    assert exported["person"] == {"user": "ama", "user_id": str(paid_user().pk)}
    [payment] = exported["payments"]
    [attempt] = payment["attempt"]
    assert payment["id"] == str(paid.pk)
    assert (payment["description"], payment["metadata"]) == (DETAILS["description"], DETAILS["metadata"])
    assert {field.name for field in Payment._meta.concrete_fields} <= payment.keys()
    assert attempt["msisdn_sealed"] == {"calling_code": "229", "national": "0161000050"}
    assert [event["to_status"] for event in payment["paymentevent"]] == ["sending", "pending", "successful"]
    assert [key["key"] for key in payment["idempotencyrecord"]] == ["tap-0"]
    assert payment["payout"][0]["msisdn_sealed"] == PAYER
    assert len(exported["report_files"]) == 1
    assert "approved_by" not in payment["payout"][0]
    action = StaffAction.objects.get(action="export_subject")
    assert action.detail == {"by": "user", "user": str(paid_user().pk), "payments": 1}


def test_export_by_number_leaves_other_persons_out(
    paid: Payment, begin: Begin, run: Run, gateway: ModelGateway
) -> None:
    Attempt.objects.create(
        payment=paid,
        ordinal=2,
        status=Status.FAILED,
        amount=5000,
        masked_msisdn="+229 01 •• •• •• 99",
        msisdn_hash="another",
        expires_at=paid.created_at,
        created_at=paid.created_at,
        updated_at=paid.created_at,
        settled_at=paid.created_at,
    )

    exported = json.loads(run("feexpay_export_subject", "--number", typed=f"+{NUMBER}"))

    [payment] = exported["payments"]
    assert exported["person"] == {"number": f"+{NUMBER}"}
    assert "user" not in payment
    assert [attempt["ordinal"] for attempt in payment["attempt"]] == [1]
    assert len(exported["prompt_lifts"]) == 1
    assert StaffAction.objects.get(action="export_subject").detail == {"by": "number", "payments": 1}


def test_export_after_the_erasure_holds_nothing_of_the_payments(paid: Payment, run: Run) -> None:
    run("feexpay_erase_subject", "--user", "ama")

    by_number = json.loads(run("feexpay_export_subject", "--number", typed=NUMBER))
    by_user = json.loads(run("feexpay_export_subject", "--user", "ama"))

    assert (by_number["payments"], by_number["prompt_lifts"]) == ([], [])
    assert by_user["payments"] == []
    assert len(by_user["erasures"]) == 1


def test_export_file_is_readable_by_its_owner_only(paid: Payment, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ama.json"

    run("feexpay_export_subject", "--user", "ama", "--output", str(path))

    assert json.loads(path.read_text())["payments"][0]["id"] == str(paid.pk)
    assert os.stat(path).st_mode & 0o777 == 0o600


# --- while payments run ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_erasure_and_purge_while_payments_settle(
    begin: Begin, gateway: ModelGateway, run: Run, clock: Clock, player: User
) -> None:
    """Three threads: the worker settles twelve payments, the person is erased again and again, purges run."""
    payments = [begin(merchant_reference=f"order-{number}", phone_ending=str(50 + number)) for number in range(12)]
    for charge in gateway.charges:
        charge.approve()
    subject = subjects.of_user("ama")

    def work(number: int) -> None:
        for payment in payments:
            if number == 0:
                reconcile(only_attempt(payment).pk, source=Source.WORKER)
                outbox.deliver()
            elif number == 1:
                erasure.erase(subject, actor="test", source=Source.COMMAND)
            else:
                purge.run(source=Source.COMMAND)

    failures = [error for error in at_once(3, work) if error is not None]
    outbox.deliver()
    purge.run(source=Source.COMMAND)

    assert failures == []
    assert Credit.objects.count() == 12
    assert Payment.objects.filter(user=player).count() == 0
    assert Attempt.objects.exclude(msisdn_hash="").count() == 0
    assert {row.state for row in Erasure.objects.all()} == {"done"}
    assert IdempotencyRecord.objects.count() == 0
    assert PromptLift.objects.count() == 0
    assert broken() == []
