"""The history is append-only, and a change by SQL behind our back is found and named."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_feexpay import checks
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Payment, PaymentEvent, StaffAction, StaffChain, triggers
from django_feexpay.payments import ledger, staff_actions
from django_feexpay.payments.audit import verification
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.staff_actions import Action
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import only_attempt
from tests.payments.tampering import execute, tamper, triggers_off
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

BECAUSE = Cause(
    source=Source.WORKER, because="test", evidence={"amount": 5000, "rate": 1e16, "echo": {"b": 1.5, "a": "é"}}
)
#: The copy of an event in another place. The columns that follow `id` and `position` of the table.
_COPIED = (
    "payment_id, attempt_id, from_status, to_status, because, source, actor, note, evidence, created_at, request_id,"
    " key_id, hash, chained_later_at"
)


def problems(payment: Payment | None = None) -> list[str]:
    """What `feexpay_verify_audit --json` prints, and that its exit code says the same."""
    printed = StringIO()
    only = [] if payment is None else ["--payment", str(payment.pk)]
    try:
        call_command("feexpay_verify_audit", "--json", *only, stdout=printed)
        code = 0
    except CommandError as error:
        code = error.returncode
    found = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert code == (1 if found else 0)
    return [f"{one['about']}, {one['row']}: {one['problem']}" for one in found]


def move(payment: Payment, *statuses: Status) -> None:
    for status in statuses:
        assert ledger.move(only_attempt(payment).pk, status, BECAUSE)


@pytest.fixture
def paid(begin: Begin, gateway: ModelGateway) -> Payment:
    """Started, pending, expired, then paid late: four events and a credit."""
    payment = begin(merchant_reference="order-1")
    move(payment, Status.EXPIRED)
    gateway.last().approve()
    assert reconcile(only_attempt(payment).pk, source=Source.WORKER)
    assert Credit.objects.filter(payment=payment).exists()
    return payment


@pytest.fixture
def event(paid: Payment) -> Callable[[int], PaymentEvent]:
    """`event(2)`: the second event of the payment."""
    return lambda position: paid.events.get(position=position)


def test_untouched_history_is_whole(paid: Payment, ama: User) -> None:
    staff_actions.record(Action.NOTE, actor=str(ama.pk), source=Source.ADMIN, target=paid, detail={"rate": 1e16})

    assert problems() == []
    paid.refresh_from_db()
    assert paid.event_count == paid.events.count() == 4
    assert paid.chain_hash == paid.events.latest("id").hash


#: An edit of each column that a person could want to change, and what the command says.
EDITS = {
    "event's cause": ("feexpay_paymentevent", "because = 'x'"),
    "event's actor": ("feexpay_paymentevent", "actor = '7'"),
    "event's entry point": ("feexpay_paymentevent", "source = 'admin'"),
    "event's request": ("feexpay_paymentevent", "request_id = 'x'"),
    "event's note": ("feexpay_paymentevent", "note = 'x'"),
    "event's evidence": ("feexpay_paymentevent", """evidence = '{"amount": 1}'"""),
    "event's status": ("feexpay_paymentevent", "to_status = 'failed'"),
    "event's time": ("feexpay_paymentevent", "created_at = '2020-01-01 00:00:00+00:00'"),
    "event's hash": ("feexpay_paymentevent", f"hash = '{'0' * 64}'"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_event_is_named(edit: str, paid: Payment, event: Callable[[int], PaymentEvent]) -> None:
    table, change = EDITS[edit]
    tamper(f"UPDATE {table} SET {change} WHERE id = %s", event(2).pk)

    found = problems()
    assert f"payment {paid.pk}, event {event(2).pk}: its hash does not fit" in found[0]
    assert len(found) == (2 if edit == "event's hash" else 1)  # the next event covered the old hash


@pytest.mark.parametrize("change", ["amount = 4999", "currency = 'XAF'", "created_at = '2020-01-01 00:00:00+00:00'"])
def test_edited_credit_is_named(change: str, paid: Payment) -> None:
    tamper(f"UPDATE feexpay_credit SET {change}")

    assert re.search(rf"^payment {paid.pk}, credit: its hash does not fit", problems()[0])


def test_edited_price_of_a_payment_is_found(paid: Payment) -> None:
    Payment.objects.filter(pk=paid.pk).update(charged_amount=100)

    assert f"event {paid.events.get(position=1).pk}: its hash does not fit" in problems()[0]


def test_deleted_credit_is_found(paid: Payment, event: Callable[[int], PaymentEvent]) -> None:
    tamper("DELETE FROM feexpay_credit")

    assert problems() == [
        f"payment {paid.pk}, credit: it is missing, although event {event(4).pk} made the payment successful"
    ]


def test_invented_credit_is_found(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()
    first = payment.events.earliest("id")
    Credit.objects.create(
        payment=payment, attempt=first.attempt, event=first, amount=5000, currency="XOF", hash="0" * 64
    )

    assert problems() == [f"payment {payment.pk}, credit: no event made the payment successful"]


@pytest.mark.parametrize(
    ("position", "named"), [(1, "event number 1 of"), (2, "event number 2 of"), (3, "event number 3 of")]
)
def test_deleted_event_is_found_where_it_was(position: int, named: str, paid: Payment, event: Any) -> None:
    after = event(position + 1)
    tamper("DELETE FROM feexpay_paymentevent WHERE position = %s", position)

    assert problems() == [f"payment {paid.pk}, : {named} the chain is missing, before event {after.pk}"]


def test_deleted_events_that_close_up_are_found(paid: Payment, event: Any) -> None:
    """The rows after a deleted one get its number, and the payment one event less."""
    moved = event(4)
    tamper("DELETE FROM feexpay_paymentevent WHERE position = 3")
    tamper("UPDATE feexpay_paymentevent SET position = 3 WHERE position = 4")
    Payment.objects.update(event_count=3)

    assert f"event {moved.pk}: its hash does not fit" in problems()[0]


def test_deleted_tail_is_found(paid: Payment, event: Any) -> None:
    tamper("DELETE FROM feexpay_credit")
    tamper("DELETE FROM feexpay_paymentevent WHERE position > 2")

    assert problems() == [f"payment {paid.pk}, : event number 3 to 4, the end of the chain, is missing"]


@pytest.mark.parametrize("columns", [("position",), ("id",), ("position", "id"), ("created_at",)], ids=" and ".join)
def test_reordered_events_are_found(columns: tuple[str, ...], paid: Payment, event: Any) -> None:
    one, other = event(2), event(3)
    with triggers_off():
        swap(columns, one, other)

    found = problems()
    assert all(f"payment {paid.pk}, event " in line for line in found)
    assert "its hash does not fit" in found[0] or "ids were changed" in found[0]


def swap(columns: tuple[str, ...], one: PaymentEvent, other: PaymentEvent) -> None:
    """Swap these columns of two events, through values that no row has. The hashes tell the rows apart."""
    first, second = ([getattr(row, column) for column in columns] for row in (one, other))
    aside = [value + 1_000_000 if isinstance(value, int) else value for value in first]
    put = ", ".join(f"{column} = %s" for column in columns)
    for values, row in ((aside, one), (first, other), (second, one)):
        assert execute(f"UPDATE feexpay_paymentevent SET {put} WHERE hash = %s", *values, row.hash) == 1


@pytest.mark.parametrize("position", [2, 5, None])
def test_inserted_event_is_found(position: int | None, paid: Payment, event: Any) -> None:
    """A copy of an event: in the place of a deleted one, at the end, and without a place."""
    if position == 2:
        tamper("DELETE FROM feexpay_paymentevent WHERE position = 2")
    columns = _COPIED if position else _COPIED.replace(" hash,", "").replace(" key_id,", "")
    tamper(
        f"INSERT INTO feexpay_paymentevent (position, {columns}) SELECT %s, {columns} FROM feexpay_paymentevent"
        " WHERE position = 3",
        position,
    )
    Payment.objects.update(event_count=max(4, position or 0))

    inserted = PaymentEvent.objects.latest("id").pk
    found = [line for line in problems() if f"payment {paid.pk}, event {inserted}: " in line]
    assert ("not chained" if position is None else "its hash does not fit") in found[0]


def test_history_without_hashes_is_not_taken_for_an_older_one(paid: Payment, ama: User) -> None:
    """Who removes every hash of a payment must not get it chained again unnoticed."""
    call_command("feexpay_chain_history", stdout=StringIO())
    staff_actions.record(Action.CHAIN_HISTORY, actor=str(ama.pk), source=Source.COMMAND)
    tamper("UPDATE feexpay_paymentevent SET hash = '', key_id = '', position = NULL, because = 'x'")
    tamper("UPDATE feexpay_credit SET hash = ''")
    Payment.objects.update(event_count=0, chain_hash="")
    assert "not chained" in problems()[0]

    move_of_another_kind = Cause(source=Source.WORKER, because="reversed")
    assert not ledger.move(only_attempt(paid).pk, Status.FAILED, move_of_another_kind)
    ledger.older_rows.begin_chain(locked := Payment.objects.get())
    locked.save(update_fields=["event_count", "chain_hash"])

    assert "it was chained after the last run of feexpay_chain_history" in problems()[0]


def test_changed_end_of_a_chain_is_found(paid: Payment) -> None:
    Payment.objects.update(chain_hash="0" * 64)
    assert "the end of the chain names another hash" in problems()[0]

    Payment.objects.update(event_count=3)
    assert "beyond the end of the chain, which counts 3" in problems()[0]


def test_only_the_wanted_payment_is_checked(paid: Payment, begin: Begin) -> None:
    other = begin(merchant_reference="order-2", phone_ending="51")
    tamper("UPDATE feexpay_paymentevent SET note = 'x' WHERE payment_id = %s", paid.pk)

    assert problems(other) == []
    assert len(problems(paid)) == 4
    with pytest.raises(CommandError, match="no such payment"):
        call_command("feexpay_verify_audit", "--payment", str(uuid.uuid4()), stdout=StringIO())


def test_pages_are_read_to_the_end(paid: Payment, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE", 2)
    for number in range(2, 6):
        begin(merchant_reference=f"order-{number}", phone_ending=f"5{number}")
    last = Payment.objects.order_by("-pk")[0]
    tamper("UPDATE feexpay_paymentevent SET note = 'x' WHERE payment_id = %s AND position = 1", last.pk)

    checked = verification.begin()
    found = list(verification.breaks_of_payments(checked))
    assert [one.about for one in found] == [f"payment {last.pk}"]
    assert (checked.payments, checked.events) == (5, 4 + 4 * 2)


# --- keys ----------------------------------------------------------------------------------------------

OLD, NEW = "an old audit key of 32 characters", "a new audit key of 32 characters!"


def test_new_key_does_not_break_old_chains(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    payment = begin()
    configure(AUDIT_KEYS=[OLD])
    move(payment, Status.EXPIRED)
    configure(AUDIT_KEYS=[NEW, OLD])
    move(payment, Status.REVIEW)

    assert problems() == []
    assert len(set(payment.events.values_list("key_id", flat=True))) == 3
    assert not any(OLD in key_id or NEW in key_id for key_id in payment.events.values_list("key_id", flat=True))


def test_row_of_a_removed_key_is_named(begin: Begin, gateway: ModelGateway, configure: Configure) -> None:
    configure(AUDIT_KEYS=[OLD])
    payment = begin()
    key_id = payment.events.latest("id").key_id
    configure(AUDIT_KEYS=[NEW])

    assert f"AUDIT_KEYS has no key {key_id}: the row cannot be proved" in problems()[0]


def test_old_hash_key_in_audit_keys_proves_what_it_signed(begin: Begin, configure: Configure, settings: Any) -> None:
    """Before AUDIT_KEYS was set, HASH_KEY signed; then HASH_KEY is replaced."""
    begin()
    configure(AUDIT_KEYS=[NEW, settings.FEEXPAY["HASH_KEY"]], HASH_KEY="another hash key of 32 characters")

    assert problems() == []


# --- staff actions -------------------------------------------------------------------------------------


@pytest.fixture
def actions(ama: User, kofi: User) -> list[StaffAction]:
    """Three actions of ama, and one of kofi between them."""
    return [
        staff_actions.record(Action.EXPORT, actor=str(person.pk), source=Source.ADMIN, detail={"count": count})
        for count, person in enumerate((ama, ama, kofi, ama))
    ]


def test_each_actor_has_a_chain(actions: list[StaffAction], ama: User) -> None:
    assert [row.position for row in actions] == [1, 2, 1, 3]
    assert StaffChain.objects.get(pk=str(ama.pk)).action_count == 3
    assert problems() == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE feexpay_staffaction SET reason = 'x' WHERE id = %s", "action {1}: its hash does not fit"),
        ("UPDATE feexpay_staffaction SET actor_name = 'x' WHERE id = %s", "action {1}: its hash does not fit"),
        ("DELETE FROM feexpay_staffaction WHERE id = %s", "action number 2 of the chain is missing, before action {3}"),
    ],
)
def test_changed_staff_action_is_found(statement: str, problem: str, actions: list[StaffAction]) -> None:
    tamper(statement, actions[1].pk)

    found = problems()
    assert len(found) == 1
    assert problem.format(*(row.pk for row in actions)) in found[0]


def test_deleted_end_of_staff_actions_is_found(actions: list[StaffAction], kofi: User) -> None:
    tamper("DELETE FROM feexpay_staffaction WHERE id >= %s", actions[2].pk)

    found = problems()
    assert f"staff {kofi.pk}, : action number 1, the end of the chain, is missing" in found
    assert len(found) == 2


def test_action_of_another_person_is_found(actions: list[StaffAction], kofi: User) -> None:
    """Blame kofi for what ama did."""
    tamper("UPDATE feexpay_staffaction SET actor = %s, position = 2 WHERE id = %s", str(kofi.pk), actions[3].pk)

    assert any(f"staff {kofi.pk}, action {actions[3].pk}: its hash does not fit" in line for line in problems())


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_concurrent_actions_and_moves_keep_their_chains(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()
    attempt = only_attempt(payment).pk
    statuses = [Status.EXPIRED, Status.REVIEW, Status.EXPIRED, Status.FAILED]

    def work(number: int) -> None:
        for _ in range(5):
            staff_actions.record(Action.NOTE, actor=str(number % 2), source=Source.ADMIN, target=payment)
        ledger.move(attempt, statuses[number % 4], BECAUSE)

    assert at_once(8, work) == [None] * 8

    assert problems() == []
    assert sorted(StaffChain.objects.values_list("action_count", flat=True)) == [20, 20]


# --- older rows ----------------------------------------------------------------------------------------


@pytest.fixture
def older(paid: Payment, actions: list[StaffAction]) -> Payment:
    """As an earlier release left the rows: without hashes."""
    for table in ("paymentevent", "staffaction"):
        tamper(f"UPDATE feexpay_{table} SET hash = '', key_id = '', position = NULL")
    tamper("UPDATE feexpay_credit SET hash = ''")
    StaffChain.objects.all().delete()
    Payment.objects.update(event_count=0, chain_hash="")
    paid.refresh_from_db()
    return paid


def test_actor_of_the_command_is_staff_and_is_stored_as_every_actor(older: Payment, ama: User) -> None:
    before = StaffAction.objects.count()
    for name in ("nobody", User.objects.create_user("player").username):
        with pytest.raises(CommandError, match="no active user|is not staff"):
            call_command("feexpay_chain_history", actor=name, stdout=StringIO())
    assert StaffAction.objects.count() == before

    User.objects.filter(pk=ama.pk).update(is_staff=True)
    call_command("feexpay_chain_history", actor=ama.username, stdout=StringIO())

    action = StaffAction.objects.get(action="chain_history")
    assert (action.actor, action.actor_name) == (str(ama.pk), ama.username)
    assert problems() == []


def test_older_rows_are_chained_by_the_command(older: Payment) -> None:
    assert {line.split(": ")[1] for line in problems()} == {"not chained"}

    printed = StringIO()
    call_command("feexpay_chain_history", stdout=printed)
    call_command("feexpay_chain_history", stdout=printed)

    lines = printed.getvalue().splitlines()
    assert lines[0].startswith("Chained 4 events of 1 payments, and 4 staff actions. Nothing is proved about them")
    assert lines[1] == "Nothing to do: every row is in its chain."
    assert problems() == []
    assert set(older.events.values_list("chained_later_at", flat=True)) != {None}
    said = StringIO()
    call_command("feexpay_verify_audit", stdout=said)
    assert "8 rows were chained after they were written" in said.getvalue()
    tamper("UPDATE feexpay_paymentevent SET note = 'x' WHERE position = 1")
    assert "its hash does not fit" in problems()[0]


def test_next_move_chains_the_older_events_first(older: Payment, begin: Begin) -> None:
    tamper("DELETE FROM feexpay_credit")
    tamper("DELETE FROM feexpay_paymentevent WHERE to_status = 'successful'")
    Attempt.objects.update(status=Status.EXPIRED)
    Payment.objects.update(status=Status.EXPIRED)

    move(older, Status.REVIEW, Status.SUCCESSFUL)

    assert list(older.events.order_by("id").values_list("position", flat=True)) == [1, 2, 3, 4, 5]
    assert list(older.events.filter(chained_later_at=None).values_list("position", flat=True)) == [4, 5]
    assert problems(older) == []


# --- triggers ------------------------------------------------------------------------------------------

COLUMN = {"feexpay_paymentevent": "note", "feexpay_credit": "currency", "feexpay_staffaction": "reason"}


def refused(statement: str, table: str) -> None:
    with pytest.raises(DatabaseError, match=f"{table} is append-only"), transaction.atomic():
        execute(statement)


@pytest.mark.parametrize("table", COLUMN)
def test_database_refuses_a_change(
    table: str, paid: Payment, actions: list[StaffAction], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server: in a test run the trigger is left out that would stop Django from emptying the tables."""
    monkeypatch.setattr("django_feexpay.conf.Settings.is_test_run", False)
    triggers.install(connection, triggers.missing(connection))

    refused(f"UPDATE {table} SET {COLUMN[table]} = 'x'", table)
    refused(f"UPDATE {table} SET hash = ''", table)
    refused(f"DELETE FROM {table}", table)
    if connection.vendor == "postgresql":
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        refused(f"TRUNCATE {table} CASCADE", "feexpay_(paymentevent|credit|staffaction)")
    triggers.remove(connection)
    triggers.install(connection, triggers.expected(connection))


@pytest.mark.parametrize("table", COLUMN)
def test_hash_is_written_once_and_alone(table: str, older: Payment) -> None:
    refused(f"UPDATE {table} SET hash = 'x', {COLUMN[table]} = 'x'", table)
    assert execute(f"UPDATE {table} SET hash = 'x'") > 0
    refused(f"UPDATE {table} SET hash = 'y'", table)


def test_check_names_a_missing_trigger_and_migrate_brings_it_back(db: None) -> None:
    name = "feexpay_credit_append_only" if connection.vendor == "postgresql" else "feexpay_credit_no_update"
    assert checks.check_database(databases=["default"]) == []
    on_table = " ON feexpay_credit" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {name}{on_table}")

    (message,) = checks.check_database(databases=["default"])
    assert (message.id, name in message.msg) == ("feexpay.W081", True)

    call_command("migrate", verbosity=0)
    assert checks.check_database(databases=["default"]) == []


@pytest.mark.postgres_only
def test_check_names_a_trigger_that_is_switched_off(db: None) -> None:
    execute("ALTER TABLE feexpay_staffaction DISABLE TRIGGER feexpay_staffaction_append_only")

    (message,) = checks.check_database(databases=["default"])
    assert "feexpay_staffaction_append_only" in message.msg
    assert message.hint


# --- where a row came from -----------------------------------------------------------------------------


def note_and_name(request: HttpRequest) -> HttpResponse:
    """A host's view whose work ends in the list of staff actions."""
    row = staff_actions.record(Action.NOTE, actor="7", source=Source.HOST)
    return HttpResponse(row.request_id)


urlpatterns = [path("note/", note_and_name)]


def test_row_names_the_request_that_caused_it(client: Client, begin: Begin, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__

    answers = [client.get("/note/", headers={"X-Request-ID": given}).content.decode() for given in ("request-7", "a b")]

    begin()  # outside of requests
    assert list(StaffAction.objects.order_by("id").values_list("request_id", flat=True)) == answers
    assert answers[0] == "request-7"
    assert re.fullmatch(r"[0-9a-f]{32}", answers[1])  # the given one is not safe to log
    assert PaymentEvent.objects.earliest("id").request_id == ""


# --- data protection -----------------------------------------------------------------------------------


def test_erasing_the_payer_does_not_break_the_chain(paid: Payment, player: User) -> None:
    """As an erasure does: the person goes, the money rows stay. No event names the person but by the user's key."""
    Attempt.objects.update(msisdn_sealed=None, payer_sealed=None, masked_msisdn="", msisdn_hash="", return_url="")
    Payment.objects.update(user=None, metadata={}, description="", merchant_reference="", idempotency_key="")
    User.objects.filter(pk=player.pk).update(username="erased", email="", first_name="", last_name="")

    assert problems() == []
