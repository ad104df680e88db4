"""The modules that are mutated, each with the tests that must notice every change.

A target's tests are those of its own module, the quickest and strictest first: the run of a mutant ends at the first
failure, so their order decides how long a run takes. They run on SQLite, which has no row locks: what locks, the tests
of concurrency prove on PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Results and logs.
FOLDER = ROOT / ".mutants"


@dataclass(frozen=True)
class Target:
    """One module.

    tests: files for pytest, or one test of a file. again: the beginnings of modules that use it, imported with it.
    """

    name: str
    module: str
    tests: tuple[str, ...]
    again: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file of the module, found without an import."""
        file = ROOT.joinpath(*self.module.split(".")).with_suffix(".py")
        if not file.exists():
            raise LookupError(f"{self.module} has no file")
        return file

    @property
    def log(self) -> Path:
        """What pytest printed in the last run."""
        return FOLDER / f"{self.name}.log"

    def test_files(self) -> list[Path]:
        """The files of its tests."""
        return [ROOT / path.partition("::")[0] for path in self.tests]


TARGETS = (
    Target("signatures", "django_feexpay.gateway.signatures", ("tests/gateway/test_signatures.py",)),
    Target("money", "django_feexpay.catalogue.money", ("tests/gateway/test_money.py",)),
    Target("phone", "django_feexpay.catalogue.phone", ("tests/gateway/test_phone.py",)),
    Target(
        "private",
        "django_feexpay.private",
        ("tests/gateway/test_private.py",),
    ),
    Target(
        "redaction",
        "django_feexpay.gateway.redaction",
        ("tests/gateway/test_redaction.py", "tests/gateway/test_reports.py"),
        again=("django_feexpay.gateway.", "tests.gateway."),
    ),
    Target(
        "refusals",
        "django_feexpay.gateway.refusals",
        ("tests/gateway/test_answers.py", "tests/gateway/test_payouts.py", "tests/gateway/test_client.py"),
        again=("django_feexpay.gateway.", "tests.gateway."),
    ),
    Target("lifecycle", "django_feexpay.lifecycle", ("tests/payments/test_lifecycle.py",)),
    Target(
        "idempotency",
        "django_feexpay.payments.idempotency",
        ("tests/payments/test_idempotency.py", "tests/api/test_idempotency.py"),
    ),
    Target(
        "ledger",
        "django_feexpay.payments.ledger",
        (
            "tests/payments/test_ledger.py",
            "tests/payments/test_database_constraints.py",
            "tests/payments/test_two_persons.py",
            "tests/payments/test_paid_orders.py",
            "tests/payments/test_retry.py::test_payment_is_under_review_while_an_earlier_attempt_may_be_paid",
            "tests/payments/test_retry.py::test_failed_payment_comes_under_review_with_its_earlier_attempt",
            "tests/payments/test_audit_chain.py::test_next_move_chains_the_older_events_first",
        ),
    ),
    Target(
        "reconcile",
        "django_feexpay.payments.reconcile",
        (
            "tests/payments/test_asking.py",
            "tests/payments/test_references.py",
            "tests/payments/test_settling.py",
            "tests/payments/test_status_reads.py",
            "tests/payments/test_reconcile.py",
            "tests/payments/test_circuit_breaker.py::test_status_read_does_not_call_feexpay_while_its_circuit_is_open",
            "tests/payments/test_rate_budget.py::test_poll_over_the_budget_is_due_again_and_not_counted",
        ),
    ),
)
