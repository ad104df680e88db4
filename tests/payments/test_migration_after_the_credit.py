"""Migration 0009 forward and back with rows: no incident is lost, and each is signalled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_feexpay.models import Attempt, Comparison, Discrepancy, Incident, OutboxMessage
from django_feexpay.payments import incidents
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, close_incident, only_attempt, sweep_until_final

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.unmeasured]

OURS = ("feexpay", "0009_after_the_credit")
#: Whether staff closed the incident: then nobody gets a signal about it.
CLOSED = (False, True)


def migrate(targets: list[Any]) -> Any:
    """Migrate, and return the models of that state."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


def before() -> list[Any]:
    graph = MigrationExecutor(connection).loader.graph
    return [node.key for node in graph.node_map[OURS].parents if node.key[0] == "feexpay"]


@pytest.fixture(autouse=True)
def newest() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


Credited = Callable[[str], Attempt]


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway, clock: Clock) -> Credited:
    """`credited("order-7")`: the only attempt of a new payment, which is credited."""

    def pay(order: str) -> Attempt:
        payment = begin(merchant_reference=order)
        gateway.last().approve()
        return only_attempt(sweep_until_final(payment, clock))

    return pay


def open_incident(attempt: Attempt, kind: str, reference: str, clock: Clock, *, credited: str = "") -> Incident:
    credited = credited or str(attempt.gateway_reference)
    charge = incidents.Charge(reference, 5000, "XOF", credited_reference=credited)
    assert incidents.open_once(Incident.Kind(kind), attempt, charge, clock.at)
    return Incident.objects.latest("pk")


def test_migration_back_and_forward_keeps_incidents_and_discrepancies(credited: Credited, clock: Clock) -> None:
    """One way back and forward for all cases, because it takes seconds."""
    several = with_several_incidents(credited("several"), clock)
    reversals = {closed: reversed_after_the_credit(credited(f"reversal {closed}"), closed, clock) for closed in CLOSED}
    first = credited("second")
    second = charged_again_by_a_second_attempt(first, clock)
    compared = compared_with_each_state(credited("compared"), clock)

    old = migrate(before())
    row = old.get_model("feexpay", "Incident").objects.get(attempt_id=several.pk)
    assert (row.note, row.closed_at) == ("refunded; also ref-third; 5000 XOF", None)
    for attempt in reversals.values():
        assert old.get_model("feexpay", "Incident").objects.get(attempt_id=attempt.pk).kind == "contradiction"
    assert not old.get_model("feexpay", "OutboxMessage").objects.filter(signal="payment_reversed").exists()

    then = migrate([OURS])
    incidents_of = then.get_model("feexpay", "Incident").objects
    for closed, attempt in reversals.items():
        row = incidents_of.get(attempt_id=attempt.pk)
        assert (row.kind, row.gateway_reference) == ("reversed_after_credit", attempt.gateway_reference)
        assert (row.amount, row.currency) == (5000, "XOF")
        message = OutboxMessage.objects.get(signal="payment_reversed", payment=attempt.payment_id)
        assert (message.next_delivery_at is None, message.delivered_at is None) == (closed, not closed)
    row = incidents_of.get(attempt_id=second.pk)
    assert (row.gateway_reference, row.amount) == (second.gateway_reference, 5000)
    assert row.credited_reference == first.gateway_reference
    findings = then.get_model("feexpay", "Finding").objects.filter(comparison_id=compared.pk)
    found = findings.values_list("difference__state", "is_open")
    assert dict(found) == {"open": True, "gone": True, "settled": False, "closed": True}


def with_several_incidents(attempt: Attempt, clock: Clock) -> Attempt:
    """Before 0009 an attempt had one incident, so the others become a note."""
    first = open_incident(attempt, "duplicate_charge", "ref-again", clock)
    close_incident(first.pk, "refunded")
    open_incident(attempt, "duplicate_charge", "ref-third", clock)
    return attempt


def reversed_after_the_credit(attempt: Attempt, closed: bool, clock: Clock) -> Attempt:
    reversal = open_incident(attempt, "reversed_after_credit", str(attempt.gateway_reference), clock)
    if closed:
        close_incident(reversal.pk, "coins taken back")
    return attempt


def charged_again_by_a_second_attempt(first: Attempt, clock: Clock) -> Attempt:
    second = Attempt.objects.get(pk=first.pk)
    second.pk, second.ordinal, second.gateway_reference = first.payment_id, 2, "ref-of-the-second"
    second.save(force_insert=True)
    open_incident(second, "duplicate_charge", "ref-of-the-second", clock, credited=str(first.gateway_reference))
    return second


def compared_with_each_state(attempt: Attempt, clock: Clock) -> Comparison:
    """A comparison that found a difference of each state."""
    day = clock.at.date()
    seen = Comparison.objects.create(first_day=day, last_day=day, started_at=clock.at, beat_at=clock.at)
    about = {"attempt": attempt, "comparison": seen, "last_comparison": seen, "found_at": clock.at}
    for state in ("open", "gone", "settled", "closed"):
        Discrepancy.objects.create(kind="status", identity=state, state=state, money_at_stake=True, **about)
    return seen
