"""Anchor files show what the chains alone cannot: a tail that was deleted with its traces, and a whole payment."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from django_feexpay.background import tasks
from django_feexpay.background.worker import Worker
from django_feexpay.lifecycle import Status
from django_feexpay.models import Payment, StaffAction, StaffChain
from django_feexpay.payments import ledger, staff_actions
from django_feexpay.payments.audit import anchors, verification
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.staff_actions import Action
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.tampering import execute, tamper

pytestmark = pytest.mark.django_db

BECAUSE = Cause(source=Source.WORKER, because="test")


@pytest.fixture
def directory(tmp_path: Path, configure: Configure, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the anchors, which are written and read in pages of two lines; it is noon."""
    monkeypatch.setattr(verification, "PAGE", 2)
    configure(AUDIT_ANCHORS=str(tmp_path))
    clock.at = clock.at.replace(hour=12)
    return tmp_path


@pytest.fixture
def payments(directory: Path, begin: Begin, gateway: ModelGateway, clock: Clock, ama: User) -> list[Payment]:
    """Two payments of two days, and an action of staff on each, with the anchors of both days."""
    rows = []
    for number in (1, 2):
        rows.append(begin(merchant_reference=f"order-{number}", phone_ending=f"5{number}"))
        staff_actions.record(Action.NOTE, actor=str(ama.pk), source=Source.ADMIN, target=rows[-1])
        assert ledger.move(only_attempt(rows[-1]).pk, Status.EXPIRED, BECAUSE)
        clock.advance(24 * 3600)
        call_command("feexpay_anchor_audit", stdout=StringIO())
    return rows


def problems(path: Path | None = None) -> list[str]:
    """What `feexpay_verify_audit` prints, and that its exit code says the same. `path`: of the anchors."""
    printed = StringIO()
    more = ["--anchors", str(path)] if path else []
    try:
        call_command("feexpay_verify_audit", "--json", *more, stdout=printed)
        code = 0
    except CommandError as error:
        code = error.returncode
    found = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert code == (1 if found else 0)
    return [f"{one['about']}, {one['row']}: {one['problem']}" for one in found]


def test_anchors_of_an_untouched_history_fit(payments: list[Payment], directory: Path, clock: Clock) -> None:
    assert problems(directory) == []

    assert ledger.move(only_attempt(payments[0]).pk, Status.REVIEW, BECAUSE)  # later events change no earlier one
    assert problems(directory) == []
    names = [path.name for path in anchors.files_of(directory)]
    days = [(clock.at - timedelta(days=ago)).date() for ago in (2, 1)]
    assert names == [f"feexpay-audit-{day}.txt" for day in days]
    assert [path.stat().st_mode & 0o777 for path in directory.iterdir()] == [0o640] * 2


def test_second_file_names_only_what_happened_since(payments: list[Payment], directory: Path) -> None:
    first, second = (path.read_text() for path in anchors.files_of(directory))

    assert (str(payments[0].pk) in first, str(payments[1].pk) in first) == (True, False)
    assert (str(payments[0].pk) in second, str(payments[1].pk) in second) == (False, True)
    assert "since the beginning" in first


def forget_the_tail(payment: Payment) -> None:
    """Delete the last event, and set all back to what the event before it left."""
    tamper("DELETE FROM feexpay_paymentevent WHERE payment_id = %s AND position = 3", payment.pk)
    before = payment.events.latest("position")
    Payment.objects.filter(pk=payment.pk).update(event_count=2, chain_hash=before.hash, status="pending")
    payment.attempts.update(status="pending")


def forget_the_payment(payment: Payment) -> None:
    """Delete every row of a payment."""
    for table in ("outboxmessage", "staffaction", "paymentevent", "idempotencyrecord", "attempt"):
        statement = f"DELETE FROM feexpay_{table} WHERE payment_id = %s"
        if table in ("outboxmessage", "idempotencyrecord"):
            execute(statement, payment.pk)
        else:
            tamper(statement, payment.pk)
    tamper("DELETE FROM feexpay_payment WHERE id = %s", payment.pk)


def forget_the_action(payment: Payment) -> None:
    """Delete the last action of staff, and set the end of its chain back."""
    last = StaffAction.objects.latest("id")
    tamper("DELETE FROM feexpay_staffaction WHERE id = %s", last.pk)
    StaffChain.objects.update(action_count=1, chain_hash=StaffAction.objects.get().hash)


def forget_the_person(payment: Payment) -> None:
    """Delete every action of one person, and the chain."""
    tamper("DELETE FROM feexpay_staffaction")
    StaffChain.objects.all().delete()


@pytest.mark.parametrize(
    ("forget", "said"),
    [
        (forget_the_tail, "payment {0.pk}, : its event number 3 is gone: feexpay-audit-"),
        (forget_the_payment, "payment {0.pk}, : it is gone: feexpay-audit-"),
        (forget_the_action, ", : its action number 2 is gone: feexpay-audit-"),
        (forget_the_person, ", : its action number 1 is gone: feexpay-audit-"),
    ],
)
def test_anchor_shows_what_no_chain_shows(
    forget: Callable[[Payment], None], said: str, payments: list[Payment], directory: Path
) -> None:
    forget(payments[-1])

    assert [line for line in problems() if forget is not forget_the_payment] == []
    assert any(said.format(payments[-1]) in line for line in problems(directory))


def test_anchor_shows_a_deleted_action_of_a_person_whose_id_holds_spaces(directory: Path, clock: Clock) -> None:
    staff_actions.record(Action.EXPORT, actor="ama de souza", source=Source.ADMIN)
    clock.advance(24 * 3600)
    call_command("feexpay_anchor_audit", stdout=StringIO())
    assert problems(directory) == []

    tamper("DELETE FROM feexpay_staffaction")
    StaffChain.objects.all().delete()

    [told] = problems(directory)
    assert told.startswith("staff ama de souza, : its action number 1 is gone: feexpay-audit-")


def test_anchor_shows_a_chain_that_was_written_again(payments: list[Payment], directory: Path) -> None:
    """With the key, as the application itself would write it."""
    tamper("DELETE FROM feexpay_paymentevent WHERE payment_id = %s AND position = 3", payments[0].pk)
    before = payments[0].events.latest("position")
    payments[0].attempts.update(status="pending")
    Payment.objects.filter(pk=payments[0].pk).update(event_count=2, chain_hash=before.hash, status="pending")
    assert ledger.move(only_attempt(payments[0]).pk, Status.FAILED, BECAUSE)

    assert problems() == []
    assert f"payment {payments[0].pk}, : its event number 3 is another one than" in problems(directory)[0]


def changed(path: Path) -> None:
    path.write_text(path.read_text().replace("payment ", "payment  ", 1).replace(" 3 ", " 2 ", 1))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-80])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed, "its signature does not fit: the file was changed"),
        (cut, "it has no signature: the file is not whole"),
        (Path.unlink, "it does not follow"),
    ],
)
def test_spoilt_file_is_named(
    spoil: Callable[[Path], None], said: str, payments: list[Payment], directory: Path, begin: Begin, clock: Clock
) -> None:
    begin(merchant_reference="order-3", phone_ending="53")
    clock.advance(24 * 3600)
    assert anchors.write_due(directory)
    spoil(anchors.files_of(directory)[1])

    assert any(line.startswith("anchors, feexpay-audit-") and said in line for line in problems(directory))


def test_missed_days_are_in_the_next_file(directory: Path, begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    anchors.write_due(directory)
    payment = begin()
    clock.advance(5 * 24 * 3600)

    path = anchors.write_due(directory)

    assert path is not None
    assert f"payment {payment.pk} 2 " in path.read_text()


def test_file_is_written_once_and_costs_nothing_after(
    payments: list[Payment], directory: Path, django_assert_num_queries: DjangoAssertNumQueries, clock: Clock
) -> None:
    before = [path.read_bytes() for path in anchors.files_of(directory)]

    with django_assert_num_queries(0):
        assert anchors.write_due(directory) is None
        clock.at = clock.at.replace(hour=23, minute=59)
        anchors.write_nightly()
        clock.advance(10 * 60)  # a transaction of yesterday may still be open
        anchors.write_nightly()

    assert [path.read_bytes() for path in anchors.files_of(directory)] == before


@pytest.mark.parametrize("engine", [pytest.param("worker", marks=pytest.mark.postgres_only), "cluster"])
@pytest.mark.django_db(transaction=True)  # the worker's threads commit, and what they wrote must go
def test_engine_writes_the_anchor(
    engine: str, directory: Path, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(COMPARE_AT="")
    begin()
    clock.advance(24 * 3600)

    if engine == "cluster":
        tasks.run_nightly()
    else:
        with Worker() as worker:
            worker._do_periodic_work()
            worker._comparison.wait()

    assert len(anchors.files_of(directory)) == 1


def test_first_file_waits_until_older_rows_are_chained(
    directory: Path, begin: Begin, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    begin()
    tamper("UPDATE feexpay_paymentevent SET hash = '', key_id = '', position = NULL")
    Payment.objects.update(event_count=0, chain_hash="")
    clock.advance(24 * 3600)

    anchors.write_nightly()

    assert list(directory.iterdir()) == []
    assert "run feexpay_chain_history first" in caplog.text
    call_command("feexpay_chain_history", stdout=StringIO())
    anchors.write_nightly()
    assert problems(directory) == []


def test_place_without_anchors_is_an_error(tmp_path: Path, db: None) -> None:
    with pytest.raises(CommandError, match="no anchor file is there"):
        call_command("feexpay_verify_audit", "--anchors", str(tmp_path), stdout=StringIO())
    (tmp_path / "feexpay-audit-2026-01-01.txt").write_text("something else\n")
    with pytest.raises(CommandError, match="not an anchor file"):
        call_command("feexpay_verify_audit", "--anchors", str(tmp_path), stdout=StringIO())
    with pytest.raises(CommandError, match="No such file"):
        call_command("feexpay_anchor_audit", "--directory", str(tmp_path / "missing"), stdout=StringIO())
    with pytest.raises(CommandError, match="AUDIT_ANCHORS"):
        call_command("feexpay_anchor_audit", stdout=StringIO())
