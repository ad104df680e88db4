"""Invariants of the stored rows, numbered I1 to I24, checkable on live data.

Each function yields its violations as short texts of ids, statuses and amounts, never personal data. Each check is one
statement and so sees one moment: payments may run meanwhile. Nothing here writes or repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

from django_feexpay.payments.invariants import attempts, credits, messages, payments, payouts, refunds, reviews


@dataclass(frozen=True, slots=True)
class Violation:
    """A row or a sum that breaks `rule` (I1 to I24). `about`: its kind and id."""

    rule: str
    about: str
    problem: str

    def __str__(self) -> str:
        return f"{self.rule} {self.about}: {self.problem}"


@contextmanager
def reading_every_row() -> Iterator[None]:
    """Prepare PostgreSQL for the checks, which read whole tables; without this they take several times as long.

    It plans a cursor for the first tenth of its rows, and sorts in so little memory that it prefers an index that
    jumps through the table.
    """
    # Behind pgbouncer in transaction mode there are no such cursors, and SET could reach another client.
    if connection.vendor != "postgresql" or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET cursor_tuple_fraction = 1; SET work_mem = '64MB'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET cursor_tuple_fraction; RESET work_mem")


def violations(rules: Iterable[str] = ()) -> Iterator[Violation]:
    """Yield every violation of these rules (default: all). Raises: KeyError."""
    for rule in rules or INVARIANTS:
        for text in INVARIANTS[rule]():
            about, _, problem = text.partition(": ")
            yield Violation(rule, about, problem)


def name_of(rule: str) -> str:
    """The name of a rule in words, such as `credits add up`."""
    return INVARIANTS[rule].__name__.replace("_", " ")


#: The invariants that rows can show. I11 (no msisdn leaks) is not among them: tests check it.
INVARIANTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "I1": credits.credits_add_up,
    "I2": payments.successful_means_credited,
    "I3": payments.payer_is_never_asked_twice,
    "I4": payments.second_charge_opens_an_incident,
    "I5": attempts.events_form_a_chain,
    "I6": credits.credit_has_proof,
    "I7": attempts.undecided_attempt_has_a_next_poll,
    "I8": attempts.delivery_matches_its_attempt,
    "I9": payments.idempotency_key_leads_to_one_payment,
    "I10": messages.every_outcome_has_its_message,
    "I12": payments.amounts_agree,
    "I13": reviews.review_is_closed_by_a_person,
    "I14": attempts.doubtful_attempt_is_searched_long_enough,
    "I15": messages.incident_is_announced_once,
    "I16": attempts.discrepancy_ends_in_its_own_period,
    "I17": messages.message_is_delivered_or_scheduled,
    "I18": attempts.prompts_are_bounded,
    "I19": attempts.no_time_is_too_far_ahead,
    "I20": refunds.refunds_never_exceed_what_was_taken,
    "I21": refunds.closed_incident_is_refunded_or_explained,
    "I22": refunds.recorded_refund_is_approved_and_announced_once,
    "I23": payments.daily_totals_match_the_payments,
    "I24": payouts.payout_pays_its_refund_once_by_two_persons,
}
