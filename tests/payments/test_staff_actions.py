"""The audit list of staff: names at the time, the payment of each record, and rows that are only added."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from django_feexpay.models import Payment, StaffAction
from django_feexpay.models.append_only import AppendOnlyError
from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.staff_actions import Action
from tests.payments.conftest import Begin

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment(begin: Begin) -> Payment:
    return begin()


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("adjoa")


def test_row_keeps_the_name_that_the_actor_had_then(payment: Payment, staff: User) -> None:
    staff_actions.record(
        Action.UNMASK, actor=str(staff.pk), source=Source.ADMIN, target=payment.latest_attempt, reason="ticket 7"
    )
    User.objects.filter(pk=staff.pk).update(username="someone_else")

    row = StaffAction.objects.get()

    assert (row.actor, row.actor_name, row.payment_id) == (str(staff.pk), "adjoa", payment.pk)
    assert row.target == f"attempt:{payment.latest_attempt_id}"
    assert (row.reason, row.result, row.detail) == ("ticket 7", "done", {})


def test_action_on_a_list_keeps_its_facts_and_names_no_record(staff: User) -> None:
    staff_actions.record(Action.EXPORT, actor=str(staff.pk), source=Source.ADMIN, detail={"count": 12})

    row = StaffAction.objects.get()

    assert (row.target, row.payment_id, row.detail) == ("", None, {"count": 12})


@pytest.mark.parametrize("actor", ["cron", "999999"])
def test_actor_who_is_no_user_is_named_as_given(actor: str) -> None:
    assert staff_actions.record(Action.EXPORT, actor=actor, source=Source.COMMAND).actor_name == actor


def test_row_cannot_be_changed_or_deleted_through_the_model(staff: User) -> None:
    row = staff_actions.record(Action.EXPORT, actor=str(staff.pk), source=Source.ADMIN)

    for forbidden in (
        row.save,
        row.delete,
        StaffAction.objects.all().delete,
        lambda: StaffAction.objects.update(reason="rewritten"),
    ):
        with pytest.raises(AppendOnlyError):
            forbidden()

    assert StaffAction.objects.get().reason == ""


@pytest.mark.postgres_only
@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}"])
def test_row_cannot_be_changed_or_deleted_by_sql(staff: User, statement: str) -> None:
    staff_actions.record(Action.EXPORT, actor=str(staff.pk), source=Source.ADMIN)
    table = StaffAction._meta.db_table

    with (
        pytest.raises(Exception, match=f"{table} is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table))

    assert StaffAction.objects.get().reason == ""
