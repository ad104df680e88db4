"""Complete payments against the sandbox over a real socket: each magic number reaches its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

import django_feexpay
from django_feexpay.models import Attempt, Credit, Payment
from tests import servers
from tests.payments.conftest import Begin, Configure
from tests.payments.fakes import Clock, Recorder, moves, only_attempt, sweep, sweep_at_next_poll, sweep_until_final
from tests.sandbox.running import RunningSandbox, run_sandbox

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT_SECONDS = 60


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for an event in the sandbox, which has its own clock."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, "the sandbox did not get there"
        time.sleep(0.01)


def status_at_sandbox(sandbox: RunningSandbox, payment: Payment) -> str:
    [row] = sandbox.payments(echo=str(only_attempt(payment).pk))
    status: str = row["status"]
    return status


@pytest.mark.parametrize(
    ("ending", "at_sandbox", "status", "reason", "told"),
    [
        ("00", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("01", "FAILED", "failed", "low_balance", ["payment_failed"]),
        ("02", "FAILED", "failed", "payer_not_found", ["payment_failed"]),
        ("03", "FAILED", "failed", "payer_declined", ["payment_failed"]),
        ("04", "PENDING", "expired", "expired", ["payment_failed"]),
        ("05", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("06", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("09", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("10", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("12", "FAILED", "failed", "low_balance", ["payment_failed"]),
        ("15", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("17", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
        ("18", "SUCCESSFUL", "successful", "", ["payment_succeeded"]),
    ],
)
def test_magic_number_reaches_its_outcome_with_at_most_one_credit(
    begin: Begin,
    sandbox: RunningSandbox,
    clock: Clock,
    signals: Recorder,
    ending: str,
    at_sandbox: str,
    status: str,
    reason: str,
    told: list[str],
) -> None:
    payment = begin(phone_ending=ending)
    wait_until(lambda: status_at_sandbox(sandbox, payment) == at_sandbox)

    sweep_until_final(payment, clock)

    attempt = only_attempt(payment)
    assert (payment.status, attempt.reason_code) == (status, reason)
    assert signals.names() == told
    assert Credit.objects.count() == sandbox.charges() == (1 if status == "successful" else 0)
    assert sandbox.prompts() <= 1


@pytest.mark.parametrize("ending", ["09", "10", "18"])
def test_lost_answer_is_found_in_history(begin: Begin, sandbox: RunningSandbox, clock: Clock, ending: str) -> None:
    payment = begin(phone_ending=ending)
    assert (payment.status, payment.attempt.gateway_reference) == ("unknown", None)

    sweep_at_next_poll(clock)

    assert moves(payment) == ["sending", "unknown", "pending", "successful"]
    assert (sandbox.prompts(), Credit.objects.get().amount) == (1, 5000)


def test_request_without_a_charge_is_closed_after_a_day(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, signals: Recorder
) -> None:
    began_at = clock.at

    payment = sweep_until_final(begin(phone_ending="11"), clock, rounds=150)

    assert (payment.status, only_attempt(payment).reason_code) == ("expired", "never_arrived")
    assert clock.at - began_at >= timedelta(days=1)
    assert (sandbox.charges(), sandbox.prompts()) == (0, 0)
    assert signals.names() == ["payment_failed"]


def test_one_franc_less_goes_to_review_and_staff_credit_it(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, ama: User
) -> None:
    payment = begin(phone_ending="13")
    wait_until(lambda: status_at_sandbox(sandbox, payment) == "SUCCESSFUL")

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("review", 0)
    assert payment.events.get(to_status="review").because == "amount_mismatch"
    closed = django_feexpay.close_review(payment, decision="credit_taken", reason="seen at FeexPay", actor=ama)
    assert (closed.status, Credit.objects.get().amount, sandbox.charges()) == ("successful", 4999, 1)


def test_failure_that_becomes_a_success_is_credited_once(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, signals: Recorder
) -> None:
    payment = begin(phone_ending="16")
    wait_until(lambda: status_at_sandbox(sandbox, payment) != "PENDING")
    sweep_until_final(payment, clock)
    wait_until(lambda: status_at_sandbox(sandbox, payment) == "SUCCESSFUL")

    clock.advance(60)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert signals.names().count("payment_succeeded") == 1
    assert (Credit.objects.count(), sandbox.charges(), sandbox.prompts()) == (1, 1, 1)


@pytest.mark.parametrize("provider", ["celtiis_bj", "moov_bj"])
def test_payer_of_another_provider_approves_and_is_credited(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, provider: str
) -> None:
    payment = begin(provider=provider, phone_ending="00")
    sweep()
    wait_until(lambda: status_at_sandbox(sandbox, payment) == "SUCCESSFUL")

    assert sweep_until_final(payment, clock).status == "successful"


def test_approval_after_expiry_is_credited_late(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, signals: Recorder
) -> None:
    payment = sweep_until_final(begin(), clock)
    assert payment.status == "expired"
    sandbox.approve(str(only_attempt(payment).gateway_reference))

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_queued_payment_is_sent_by_the_worker_and_settles(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    assert (payment.status, sandbox.payments()) == ("created", [])

    sweep()
    sandbox.approve(str(only_attempt(payment).gateway_reference))

    assert sweep_until_final(payment, clock).status == "successful"
    assert (sandbox.prompts(), sandbox.charges()) == (1, 1)


def test_unreachable_gateway_gets_the_payment_later(begin: Begin, clock: Clock, configure: Configure) -> None:
    port = servers.free_port()
    configure(BASE_URL=f"http://127.0.0.1:{port}/api")

    payment = begin()
    assert (payment.status, payment.detail) == ("created", "queued")
    sweep_at_next_poll(clock)
    assert Attempt.objects.get().next_poll_at == clock.at + timedelta(seconds=10)

    with run_sandbox(port=port) as sandbox:
        sweep_at_next_poll(clock)
        sandbox.approve(str(only_attempt(payment).gateway_reference))
        assert sweep_until_final(payment, clock).status == "successful"
        assert (sandbox.prompts(), sandbox.charges(), Credit.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("code", ["400", "429", "500", "503"])
@pytest.mark.parametrize("named", [0, 100], ids=["bare", "named"])
def test_charge_behind_an_error_is_found_and_credited_once(
    begin: Begin, sandbox: RunningSandbox, clock: Clock, signals: Recorder, code: str, named: int
) -> None:
    faults = {
        "charged_error_percent": 100,
        "charged_error_codes": [code],
        "charged_error_named_percent": named,
    }
    sandbox.post("/control/conditions", json=faults).raise_for_status()
    payment = begin(phone_ending="00")
    wait_until(lambda: sandbox.charges() == 1)

    for _ in range(4):
        clock.advance(61)
        sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert (sandbox.charges(), sandbox.prompts(), Credit.objects.count()) == (1, 1, 1)
    assert "payment_succeeded" in signals.names()
