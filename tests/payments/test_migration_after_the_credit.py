"""Migration 0009 forward and back with rows: no incident is lost, and each is signalled once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_feexpay.models import Attempt, Comparison, Discrepancy, Incident, OutboxMessage, Payment
from django_feexpay.payments import incidents
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, close_incident, only_attempt, sweep_until_final

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.unmeasured]

OURS = ("feexpay", "0009_after_the_credit")


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


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    payment = begin()
    gateway.last().approve()
    return sweep_until_final(payment, clock)


def open_incident(attempt: Attempt, kind: str, reference: str, clock: Clock) -> Incident:
    charge = incidents.Charge(reference, 5000, "XOF", credited_reference="ref-0001")
    assert incidents.open_once(Incident.Kind(kind), attempt, charge, clock.at)
    return Incident.objects.latest("pk")


def test_several_incidents_of_an_attempt_become_one_with_a_note_about_the_others(
    credited: Payment, clock: Clock
) -> None:
    attempt = only_attempt(credited)
    first = open_incident(attempt, "duplicate_charge", "ref-again", clock)
    close_incident(first.pk, "refunded")
    open_incident(attempt, "duplicate_charge", "ref-third", clock)

    old = migrate(before())

    [row] = old.get_model("feexpay", "Incident").objects.all()
    assert (row.note, row.closed_at) == ("refunded; also ref-third; 5000 XOF", None)


@pytest.mark.parametrize("closed", [False, True])
def test_contradiction_becomes_a_reversal_with_a_signal_unless_staff_closed_it(
    credited: Payment, clock: Clock, closed: bool
) -> None:
    reversal = open_incident(only_attempt(credited), "reversed_after_credit", "ref-0001", clock)
    if closed:
        close_incident(reversal.pk, "coins taken back")
    old = migrate(before())
    assert old.get_model("feexpay", "Incident").objects.get().kind == "contradiction"
    assert not old.get_model("feexpay", "OutboxMessage").objects.filter(signal="payment_reversed").exists()

    then = migrate([OURS])

    row = then.get_model("feexpay", "Incident").objects.get()
    assert (row.kind, row.gateway_reference, row.amount, row.currency) == (
        "reversed_after_credit",
        "ref-0001",
        5000,
        "XOF",
    )
    message = OutboxMessage.objects.get(signal="payment_reversed")
    assert (message.next_delivery_at is None, message.delivered_at is None) == (closed, not closed)


def test_second_attempt_that_was_charged_names_both_references(credited: Payment, clock: Clock) -> None:
    second = only_attempt(credited)
    second.pk, second.ordinal, second.gateway_reference = credited.pk, 2, "ref-0002"
    second.save(force_insert=True)
    open_incident(second, "duplicate_charge", "ref-0002", clock)
    migrate(before())

    then = migrate([OURS])

    row = then.get_model("feexpay", "Incident").objects.get()
    assert (row.gateway_reference, row.credited_reference, row.amount) == ("ref-0002", "ref-0001", 5000)


def test_discrepancies_stay_with_the_last_comparison_that_found_them(credited: Payment, clock: Clock) -> None:
    day = clock.at.date()
    seen = Comparison.objects.create(first_day=day, last_day=day, started_at=clock.at, beat_at=clock.at)
    about = {"attempt": only_attempt(credited), "comparison": seen, "last_comparison": seen, "found_at": clock.at}
    for state in ("open", "gone", "settled", "closed"):
        Discrepancy.objects.create(kind="status", identity=state, state=state, money_at_stake=True, **about)
    migrate(before())

    then = migrate([OURS])

    findings = then.get_model("feexpay", "Finding").objects.filter(comparison_id=seen.pk)
    found = findings.values_list("difference__state", "is_open")
    assert dict(found) == {"open": True, "gone": True, "settled": False, "closed": True}
