"""`feexpay_verify`: one line for each violation, and an exit code that says whether there are any."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Comparison,
    DailyTotal,
    Discrepancy,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    TotalsCursor,
)
from django_feexpay.payments import daily_totals
from django_feexpay.payments.invariants import INVARIANTS
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import now, only_attempt
from tests.payments.tampering import tamper
from tests.payments.test_invariants import (
    add_event,
    delivery,
    discrepancy,
    drop_index,
    incident,
    second_attempt,
    settled,
)
from tests.payments.test_refunds import plant, recorded

pytestmark = pytest.mark.django_db


def verify(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and its output."""
    out = StringIO()
    try:
        call_command("feexpay_verify", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def two_live_attempts(payment: Payment) -> None:
    drop_index("feexpay_one_live_attempt")
    Attempt.objects.update(status=Status.PENDING)
    second_attempt(payment, Status.PENDING)


def ended_by_a_comparison_of_another_day(payment: Payment) -> None:
    row = discrepancy(only_attempt(payment), state="gone")
    Discrepancy.objects.update(ended_by=row.comparison)
    Comparison.objects.update(first_day=date(2020, 1, 1), last_day=date(2020, 1, 1))


def closed_without_a_reason(payment: Payment) -> None:
    incident(only_attempt(payment), "beside")
    Incident.objects.update(closed_at=timezone.now())


def six_prompts_of_one_number(payment: Payment) -> None:
    attempt = only_attempt(payment)
    for ordinal in range(2, 7):
        attempt.pk, attempt.ordinal, attempt.gateway_reference = uuid4(), ordinal, uuid4().hex
        attempt.status = Status.FAILED
        attempt.save(force_insert=True)


def wrong_total(payment: Payment) -> None:
    """Of a day without a change since it was counted."""
    daily_totals.rebuild()
    TotalsCursor.objects.update(event_id=PaymentEvent.objects.order_by("-pk").values("pk")[:1])
    DailyTotal.objects.update(amount=1)


#: How to break the rows for each rule.
BROKEN: dict[str, Callable[[Payment], Any]] = {
    "I1": lambda payment: tamper("UPDATE feexpay_credit SET amount = 4999"),
    "I2": lambda payment: tamper("DELETE FROM feexpay_credit"),
    "I3": two_live_attempts,
    "I4": lambda payment: second_attempt(payment, Status.SUCCESSFUL),
    "I5": lambda payment: add_event(only_attempt(payment), "unknown", "pending"),
    "I6": lambda payment: Attempt.objects.update(gateway_reference="another"),
    "I7": lambda payment: Attempt.objects.update(status=Status.UNKNOWN, next_poll_at=None),
    "I8": lambda payment: delivery("another", only_attempt(payment), minutes_old=0),
    "I9": lambda payment: IdempotencyRecord.objects.update(answer_status=201, answer_body={"id": str(uuid4())}),
    "I10": lambda payment: OutboxMessage.objects.all().delete(),
    "I12": lambda payment: Attempt.objects.update(amount=1),
    "I13": lambda payment: add_event(only_attempt(payment), "successful", "failed", because="not_paid"),
    "I14": lambda payment: Attempt.objects.update(status=Status.EXPIRED, reason_code="never_arrived"),
    "I15": lambda payment: incident(only_attempt(payment), "beside"),
    "I16": ended_by_a_comparison_of_another_day,
    "I17": lambda payment: OutboxMessage.objects.update(delivered_at=timezone.now()),
    "I18": six_prompts_of_one_number,
    "I19": lambda payment: Attempt.objects.update(created_at=now() + timedelta(days=365)),
    "I20": lambda payment: plant(payment, amount=5001),
    "I21": closed_without_a_reason,
    "I22": recorded,
    "I23": wrong_total,
    "I24": lambda payment: plant(payment, **recorded(payment), way="payout"),
}


@pytest.fixture
def credited(begin: Begin, gateway: ModelGateway, configure: Configure) -> Payment:
    configure(PROMPTS_PER_PHONE=5)
    return settled(begin, gateway)


def test_healthy_rows_pass_with_a_line_for_each_rule(credited: Payment) -> None:
    code, printed = verify()

    lines = printed.splitlines()
    assert code == 0
    assert [line.split()[:2] for line in lines] == [["✔", rule] for rule in INVARIANTS]
    assert lines[0].startswith("✔ I1 credits add up: 0 broken")


@pytest.mark.parametrize("rule", INVARIANTS)
def test_broken_rule_is_reported_by_its_number(rule: str, credited: Payment) -> None:
    BROKEN[rule](credited)

    code, printed = verify("--only", rule)

    assert code == 1
    *lines, verdict = printed.splitlines()
    assert {line.split()[0] for line in lines} == {rule}
    assert verdict.startswith(f"✘ {rule} ")


def test_json_is_one_object_per_violation_and_nothing_else(credited: Payment) -> None:
    Attempt.objects.update(amount=1)

    code, printed = verify("--json", "--only", "I12")

    assert code == 1
    assert [json.loads(line) for line in printed.splitlines()] == [
        {
            "rule": "I12",
            "about": f"attempt {only_attempt(credited).pk}",
            "problem": "asks for 1, its payment for 5000",
        }
    ]


def test_json_of_healthy_rows_is_empty(credited: Payment) -> None:
    assert verify("--json") == (0, "")


def test_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match="I13"):
        call_command("feexpay_verify", "--only", "I11")


def test_command_only_reads(credited: Payment) -> None:
    with CaptureQueriesContext(connection) as statements:
        verify()

    verbs = {statement["sql"].split()[0] for statement in statements}
    assert verbs <= {"SELECT", "(SELECT", "DECLARE", "SET", "RESET"}
