"""The statement of a period: local days, what FeexPay took, its fees, and the credit table to the franc."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from django_feexpay.payments import statements
from django_feexpay.payments.statements import Figures, Period
from tests.api.test_history import store_payment
from tests.payments.charging import charge, incident, refund
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db

OCTOBER = Period(date(2026, 10, 1), date(2026, 10, 31))


#: Kind, provider, time, amount and fee. The hours around midnight of Porto-Novo and of UTC come often.
MOVEMENTS = st.tuples(
    st.sampled_from(["credit", "duplicate_charge", "reversed_after_credit", "refund"]),
    st.sampled_from(["mtn_bj", "moov_bj"]),
    st.builds(
        lambda day, hour, minute: datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day, hours=hour, minutes=minute),
        st.integers(-2, 31),
        st.sampled_from([0, 12, 22, 23]),
        st.sampled_from([0, 59]),
    ),
    st.integers(1, 2_000_000),
    st.integers(0, 5000),
)


def at(day: int, hour: int = 12, minute: int = 0, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def days(statement: statements.Statement) -> list[tuple[str, str, date, int]]:
    return [
        (section.provider.pk, section.currency, line.day, line.figures.gross)
        for section in statement.sections
        for line in section.lines
    ]


def credited_in_sql(start: str, end: str) -> int:
    """The sum of the credits between two instants in UTC, by a statement of its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(SUM(amount), 0) FROM feexpay_credit WHERE created_at >= %s AND created_at < %s",
            [start, end],
        )
        return int(cursor.fetchone()[0])


def test_a_day_begins_at_the_shops_midnight_and_not_at_utcs(player: User) -> None:
    """In Porto-Novo 23:30 UTC on 30 September is half past midnight on 1 October."""
    charge(player, at(30, 22, 59, month=9), 1)
    charge(player, at(30, 23, 0, month=9), 10)
    charge(player, at(1, 22, 59), 100)
    charge(player, at(1, 23, 0), 1000)
    charge(player, at(31, 22, 59), 10_000)
    charge(player, at(31, 23, 0), 100_000)

    statement = statements.make(OCTOBER)

    assert days(statement) == [
        ("mtn_bj", "XOF", date(2026, 10, 1), 110),
        ("mtn_bj", "XOF", date(2026, 10, 2), 1000),
        ("mtn_bj", "XOF", date(2026, 10, 31), 10_000),
    ]


def test_days_do_not_follow_the_zone_of_the_user_who_looks(player: User) -> None:
    charge(player, at(1, 22, 59), 100)

    with timezone.override("Asia/Tokyo"):
        statement = statements.make(OCTOBER)

    assert days(statement) == [("mtn_bj", "XOF", date(2026, 10, 1), 100)]


def test_days_of_a_zone_with_summer_time(player: User, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    charge(player, at(24, 22, 0), 1)  # midnight of the 25th, in summer time
    charge(player, at(25, 22, 59), 10)  # the last minute of the 25th, in winter time
    charge(player, at(25, 23, 0), 100)

    statement = statements.make(OCTOBER)

    assert days(statement) == [("mtn_bj", "XOF", date(2026, 10, 25), 11), ("mtn_bj", "XOF", date(2026, 10, 26), 100)]


def test_gross_is_the_sum_of_the_credit_table(player: User) -> None:
    for day in range(1, 32):
        charge(player, at(day, day % 24, 17), 997 * day, fee=day)
        charge(player, at(day, 23, 30), 13 * day, provider="moov_bj")
    charge(player, at(5, month=11), 77)
    store_payment(player, at=at(7), status="failed", fee=58)

    statement = statements.make(OCTOBER)

    gross = statement.totals["XOF"].gross
    assert gross == credited_in_sql("2026-09-30 23:00:00+00:00", "2026-10-31 23:00:00+00:00")
    assert gross == 997 * 496 + 13 * (496 - 31)
    assert statement.totals["XOF"].fees == 496
    assert statement.unreconciled == {}


def test_fees_are_of_money_that_was_taken_only(player: User) -> None:
    """The column `fee` of a failed payment says what the fee would have been."""
    store_payment(player, at=at(7), status="failed", fee=58)
    store_payment(player, at=at(7), status="rejected", fee=58)
    charge(player, at(7), 5000, fee=85)

    assert statements.make(OCTOBER).totals == {"XOF": Figures(credit_count=1, gross=5000, fees=85)}


def test_double_charges_and_reversals_have_columns_of_their_own(player: User) -> None:
    payment = charge(player, at(7), 5000, fee=85)
    incident(payment, "duplicate_charge", at(8), 5000)
    incident(payment, "reversed_after_credit", at(9), 5000)
    incident(payment, "duplicate_charge", at(1, month=11), 5000)

    section = statements.make(OCTOBER).sections[0]

    assert [line.figures for line in section.lines] == [
        Figures(credit_count=1, gross=5000, fees=85),
        Figures(double_charge_count=1, double_charges=5000, fees=85),
        Figures(reversal_count=1, reversals=5000),
    ]
    assert section.total.net == 5000 + 5000 - 5000 - 170


def test_recorded_refunds_lower_the_net_on_their_day(player: User) -> None:
    payment = charge(player, at(7), 5000, fee=85)
    refund(payment, 2000, at(9))
    refund(payment, 1000, at(9), state="proposed")
    refund(payment, 500, at(31, 23, 0))  # it is November in Porto-Novo

    statement = statements.make(OCTOBER)

    assert [line.figures for line in statement.sections[0].lines] == [
        Figures(credit_count=1, gross=5000, fees=85),
        Figures(refund_count=1, refunds=2000),
    ]
    assert statement.totals["XOF"].net == 5000 - 85 - 2000
    assert statement.unreconciled == {}


def test_double_charge_without_an_amount_counts_what_was_asked_for(player: User) -> None:
    incident(charge(player, at(7, month=9), 5000), "duplicate_charge", at(8), None)

    assert statements.make(OCTOBER).totals["XOF"].double_charges == 5000


def test_price_in_euros_stands_in_the_currency_that_was_charged(player: User) -> None:
    charge(player, at(7), 6560, fee=112, price=(1000, "EUR"))
    charge(player, at(7), 400, provider="mtn_cg", currency="XAF")

    statement = statements.make(OCTOBER)

    assert statement.totals == {
        "XAF": Figures(credit_count=1, gross=400),
        "XOF": Figures(credit_count=1, gross=6560, fees=112),
    }


def test_statement_of_one_provider(player: User) -> None:
    charge(player, at(7), 5000)
    incident(charge(player, at(7), 300, provider="moov_bj"), "duplicate_charge", at(7), 300)

    statement = statements.make(OCTOBER, "moov_bj")

    assert statement.totals == {"XOF": Figures(credit_count=1, gross=300, double_charge_count=1, double_charges=300)}
    assert statement.unreconciled == {}


def test_a_credit_that_the_lines_miss_is_told(player: User) -> None:
    """The self-check is a sum of its own over the credit table."""
    charge(player, at(7), 5000)
    made = statements.make(OCTOBER)

    without_lines = statements.Statement(OCTOBER, [], made.ledger)

    assert without_lines.unreconciled == {"XOF": (0, 5000)}


def test_number_of_statements_does_not_grow(player: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as seen:
            statements.make(OCTOBER)
        return len(seen)

    incident(charge(player, at(7), 5000), "duplicate_charge", at(7), 300)
    few = count()
    for day in range(1, 30):
        charge(player, at(day), 5000, provider="moov_bj")

    assert count() == few == 7


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(31, 22, 59), (date(2026, 9, 1), date(2026, 9, 30))),
        (at(31, 23, 0), (date(2026, 10, 1), date(2026, 10, 31))),  # it is November in Porto-Novo
        (datetime(2027, 1, 5, tzinfo=UTC), (date(2026, 12, 1), date(2026, 12, 31))),
        (datetime(2028, 3, 31, tzinfo=UTC), (date(2028, 2, 1), date(2028, 2, 29))),
    ],
)
def test_last_month_is_the_shops(clock: Clock, now: datetime, expected: tuple[date, date]) -> None:
    clock.at = now

    assert Period.last_month() == Period(*expected)


@pytest.mark.parametrize(
    ("first", "last"), [(date(2026, 10, 2), date(2026, 10, 1)), (date(2026, 1, 1), date(2027, 1, 2))]
)
def test_period_without_days_or_with_too_many_is_refused(first: date, last: date) -> None:
    with pytest.raises(ValueError, match="day"):
        Period(first, last)


@given(rows=st.lists(MOVEMENTS, max_size=12), provider=st.sampled_from(["", "mtn_bj", "moov_bj"]))
@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_statement_of_any_rows_reconciles_to_the_franc(
    player: User, rows: list[tuple[str, str, datetime, int, int]], provider: str
) -> None:
    """Against plain sums over the same rows, in October of Porto-Novo (UTC+1) and around it."""
    with transaction.atomic():
        for kind, code, when, amount, fee in rows:
            payment = charge(player, when, amount, fee=fee, provider=code)
            store_payment(player, at=when, status="failed", fee=fee, provider_id=code)
            if kind in ("duplicate_charge", "reversed_after_credit"):
                incident(payment, kind, when, amount)
            elif kind == "refund":
                refund(payment, amount, when)

        made = statements.make(OCTOBER, provider)
        transaction.set_rollback(True)

    counted = [
        (kind, amount, fee)
        for kind, code, when, amount, fee in rows
        if provider in ("", code) and at(30, 23, month=9) <= when < at(31, 23)
    ]
    total = made.totals.get("XOF", Figures())
    doubles = [(amount, fee) for kind, amount, fee in counted if kind == "duplicate_charge"]
    assert made.unreconciled == {}
    assert total.gross == made.ledger.get("XOF", 0) == sum(amount for _kind, amount, _fee in counted)
    assert total.double_charges == sum(amount for amount, _fee in doubles)
    assert total.reversals == sum(amount for kind, amount, _fee in counted if kind == "reversed_after_credit")
    assert total.refunds == sum(amount for kind, amount, _fee in counted if kind == "refund")
    assert total.fees == sum(fee for _kind, _amount, fee in counted) + sum(fee for _amount, fee in doubles)
    assert total.net == total.gross + total.double_charges - total.reversals - total.fees - total.refunds
    assert total == sum((line.figures for each in made.sections for line in each.lines), Figures())
