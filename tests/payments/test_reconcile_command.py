"""`feexpay_reconcile`, against the sandbox over a real socket and against prepared histories."""

from __future__ import annotations

import json
import signal
import threading
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_feexpay.management.stop_signals import stop_by_signal
from django_feexpay.models import Attempt, Comparison, Credit, Discrepancy, Payment
from tests.payments.comparing import write
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import Clock, sweep
from tests.payments.paying_out import Tap, propose, send
from tests.sandbox.running import API_KEY, SHOP_ID, RunningSandbox

pytestmark = pytest.mark.django_db


def reconcile(*arguments: str) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines, with an error message as the last one."""
    out = StringIO()
    try:
        call_command("feexpay_reconcile", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, [*out.getvalue().splitlines(), str(error)]
    return 0, out.getvalue().splitlines()


def test_default_period_is_yesterday_and_the_day_before(history: FakeHistory, clock: Clock) -> None:
    code, lines = reconcile()

    comparison = Comparison.objects.get()
    today = clock.at.date()
    assert (comparison.first_day, comparison.last_day) == (today - timedelta(days=2), today - timedelta(days=1))
    assert code == 0
    assert lines[0].endswith(": complete")
    assert "0 differences" in lines[2]


def test_each_discrepancy_is_a_line_and_open_ones_exit_with_1(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    payment = begin()
    write(history, gateway.last(), clock.at.date(), status="SUCCESSFUL")
    clock.advance(86_400)

    code, lines = reconcile()

    assert code == 1
    assert lines[0] == (
        f"status attempt {payment.attempt.pk}, reference ref-0001: here pending 5000, at FeexPay successful 5000"
        " → open, no_change MONEY AT STAKE"
    )
    assert lines[-1] == "1 differences are open: see the admin"


def test_json_lines_end_with_the_summary(
    begin: Begin, gateway: ModelGateway, history: FakeHistory, clock: Clock
) -> None:
    payment = begin()
    gateway.last().approve()
    write(history, gateway.last(), clock.at.date())
    clock.advance(86_400)

    code, lines = reconcile("--json")

    discrepancy, whole = map(json.loads, lines)
    assert code == 0
    assert (discrepancy["kind"], discrepancy["payment"], discrepancy["state"]) == ("status", str(payment.pk), "settled")
    assert (whole["state"], whole["found"], whole["settled"], whole["open"]) == ("complete", 1, 1, 0)


def test_gaps_are_listed_and_exit_with_3(history: FakeHistory) -> None:
    history.fails_after = 0

    code, lines = reconcile()

    assert code == 3
    assert any(line.startswith("incomplete: 1 gaps") for line in lines)
    assert any("why unanswered" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "yesterday"], "--from: 'yesterday' is not a day: write YYYY-MM-DD"),
        (["--to", "2026-02-30"], "--to: '2026-02-30' is not a day"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "the first day is after the last"),
        (["--to", "9000-01-01"], "the period is not over yet"),
    ],
)
def test_wrong_period_is_refused_without_a_question(arguments: list[str], words: str, history: FakeHistory) -> None:
    code, lines = reconcile(*arguments)

    assert (code, history.requests, Comparison.objects.count()) == (2, [], 0)
    assert words in lines[-1]


def test_last_day_alone_selects_one_day(history: FakeHistory, clock: Clock) -> None:
    reconcile("--to", "2026-03-01")

    assert Comparison.objects.get().first_day == date(2026, 3, 1)


def test_wrong_key_exits_with_4(configure: Any, history: FakeHistory) -> None:
    configure(API_KEY="")

    code, lines = reconcile()

    assert code == 4
    assert lines[-1] == "FeexPay refuses to answer us: invalid_api_key"


def test_signal_stops_the_command_and_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with stop_by_signal() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()

    assert signal.getsignal(signal.SIGTERM) is before


def test_command_runs_in_a_thread_without_signals() -> None:
    heard: list[bool] = []

    def run() -> None:
        with stop_by_signal() as stop:
            heard.append(stop.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert heard == [False]


def test_stopped_run_says_so(history: FakeHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Event, "is_set", lambda event: True)

    code, lines = reconcile()

    assert code == 130
    assert "Run it again" in lines[-1]


# --- over the socket ------------------------------------------------------------------------------------


def test_payments_agree_with_the_sandbox_and_a_missed_one_is_credited(
    sandbox: RunningSandbox, begin: Begin, clock: Clock, transactional_db: None
) -> None:
    """One declined payment, one paid without a webhook or a poll, and one of another system."""
    declined, paid = begin(merchant_reference="declined"), begin(merchant_reference="paid")
    sandbox.decline(str(declined.attempt.gateway_reference))
    sandbox.approve(str(paid.attempt.gateway_reference))
    clock.advance(86_400)

    code, lines = reconcile()

    paid = Payment.objects.get(pk=paid.pk)
    assert (code, paid.status, Payment.objects.get(pk=declined.pk).status) == (0, "successful", "failed")
    assert Credit.objects.count() == 1
    assert sorted(Discrepancy.objects.values_list("kind", "state")) == [("status", "settled")] * 2
    assert reconcile()[0] == 0
    assert Comparison.objects.latest("pk").found_count == 0


def test_more_rows_than_one_answer_holds_are_read_over_the_socket(
    sandbox: RunningSandbox, begin: Begin, clock: Clock, transactional_db: None
) -> None:
    """One day has our payment, then 500 of another system. The command compares that day and the forty before it."""
    payment = begin()
    payment_request = {
        "phoneNumber": "2290161000050",
        "amount": 100,
        "shop": SHOP_ID,
        "callback_info": "order of a friend",
    }
    headers = {"Authorization": f"Bearer {API_KEY}"}
    for number in range(500):
        answer = sandbox.post("/api/transactions/public/requesttopay/mtn", json=payment_request, headers=headers)
        if number % 2:
            sandbox.approve(answer.json()["reference"])
    sandbox.approve(str(payment.attempt.gateway_reference))
    month_ago = clock.at.date() - timedelta(days=40)
    clock.advance(86_400)

    code, lines = reconcile("--from", month_ago.isoformat())

    comparison = Comparison.objects.get()
    assert (code, Payment.objects.get(pk=payment.pk).status) == (0, "successful")
    assert (comparison.state, comparison.foreign_count, comparison.compared_count) == ("complete", 500, 1)


# --- after a restore --------------------------------------------------------------------------------------


@pytest.fixture
def restored(begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> list[Payment]:
    """Two queued payments in a database from before the first one was sent; no worker runs yet."""
    configure(DISPATCH="queue")
    sent = begin(merchant_reference="order-1")
    names = ("status", "sent_at", "next_poll_at", "gateway_reference", "expires_at")
    before = Attempt.objects.values(*names).get()
    sweep()
    Attempt.objects.update(**before)
    Payment.objects.update(status="created")
    return [sent, begin(merchant_reference="order-2")]


def test_attempt_that_was_sent_before_the_restore_is_not_sent_again(
    restored: list[Payment], gateway: ModelGateway
) -> None:
    code, lines = reconcile("--unsent")
    assert (code, lines) == (
        0,
        ["2 attempts wait to be sent: FeexPay has 1 of them already, 1 it does not have, 0 are not known"],
    )

    sweep()

    assert [len(gateway.of(payment.attempt.pk)) for payment in restored] == [1, 1]
    references = [Attempt.objects.get(payment=payment).gateway_reference for payment in restored]
    assert references == ["ref-0001", "ref-0002"]


def test_search_without_an_answer_exits_with_3(restored: list[Payment], gateway: ModelGateway) -> None:
    gateway.reads_unanswered = True

    code, lines = reconcile("--unsent")

    assert (code, lines[-1]) == (3, "the history has gaps, or FeexPay did not answer")
    assert set(Attempt.objects.values_list("status", flat=True)) == {"created"}


@pytest.mark.django_db(transaction=True)
def test_payout_that_waits_to_be_sent_is_named(credited: Payment, tap: Tap) -> None:
    tap.payouts_leave = False
    payout = send(propose(credited))

    assert (
        reconcile("--unsent")[1][-1] == f"payout {payout.pk} waits to be sent: look for it in FeexPay's dashboard first"
    )
