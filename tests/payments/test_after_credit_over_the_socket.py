"""Trouble after a credit, against the sandbox on a real socket: each opens an incident and reaches the host."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Discrepancy, Incident
from django_feexpay.payments import webhook_hints
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.reconciliation import run
from tests.payments.conftest import Begin
from tests.payments.fakes import Clock, Recorder, only_attempt, sweep, sweep_at_next_poll, sweep_until_final
from tests.payments.test_over_the_socket import status_at_sandbox, wait_until
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("status", ["REVERSED", "REFUNDED", "CANCELLED", "FAILED"])
def test_reversal_after_success_is_announced(
    signals: Recorder, begin: Begin, sandbox: RunningSandbox, clock: Clock, status: str
) -> None:
    payment = begin(phone_ending="00")
    wait_until(lambda: status_at_sandbox(sandbox, payment) == "SUCCESSFUL")
    sweep_until_final(payment, clock)
    reference = str(only_attempt(payment).gateway_reference)
    sandbox.reverse(reference, status=status)

    webhook_hints.receive(hint_from({"reference": reference, "status": status}))
    sweep_at_next_poll(clock)

    incident = Incident.objects.get()
    assert (incident.kind, incident.gateway_reference) == ("reversed_after_credit", reference)
    assert signals.names() == ["payment_succeeded", "payment_reversed"]
    assert list(violations()) == []


def test_nightly_comparison_finds_a_doubled_prompt_and_a_page_paid_twice(
    signals: Recorder, begin: Begin, sandbox: RunningSandbox, clock: Clock
) -> None:
    push = begin(phone_ending="00", merchant_reference="push")
    wait_until(lambda: status_at_sandbox(sandbox, push) == "SUCCESSFUL")
    sweep_until_final(push, clock)
    page = begin(provider="visa", phone="", merchant_reference="page")
    [link] = sandbox.links(str(page.attempt.pk))
    sandbox.play_link(link["code"], "pay")
    reconcile(page.attempt.pk, source=Source.WORKER)
    seconds = {
        payment.pk: sandbox.charge_again(str(only_attempt(payment).gateway_reference))["reference"]
        for payment in (push, page)
    }
    day = clock.at.date()
    clock.at += timedelta(days=2)

    run.compare(run.begin(day - timedelta(days=1), day), source=Source.WORKER)
    sweep()

    found = {row.payment_id: row for row in Incident.objects.all()}
    assert {pk: row.gateway_reference for pk, row in found.items()} == seconds
    assert {row.amount for row in found.values()} == {5000}
    assert signals.names().count("duplicate_charge_found") == 2
    assert Discrepancy.objects.at_stake().count() == 2
    assert list(violations()) == []
