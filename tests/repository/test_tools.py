"""When the audit fails, and when the coverage is too low."""

from __future__ import annotations

import pytest

from tests import coverage_gate
from tools import audit

CLEAN = {"name": "django", "version": "5.2.19", "vulns": []}
VULNERABLE = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
SKIPPED = {"name": "anyio", "skip_reason": "Dependency not found on PyPI and could not be audited"}
OURSELVES = {"name": "django-feexpay", "skip_reason": "distribution marked as editable"}


@pytest.mark.parametrize(
    ("packages", "exit_code", "strict_exit_code"),
    [
        pytest.param([CLEAN, OURSELVES], 0, 0, id="all clean"),
        pytest.param([CLEAN, VULNERABLE], 1, 1, id="one vulnerable"),
        pytest.param([CLEAN, SKIPPED], 0, 1, id="one not audited"),
        pytest.param([SKIPPED], 0, 1, id="none audited"),
        pytest.param([OURSELVES], 0, 1, id="no packages"),
    ],
)
def test_audit_has_the_exit_code(packages: list[dict[str, object]], exit_code: int, strict_exit_code: int) -> None:
    judged = audit.judge({"dependencies": packages})

    assert audit.exit_code(judged, strict=False) == exit_code
    assert audit.exit_code(judged, strict=True) == strict_exit_code


def test_audit_names_the_packages_that_were_not_audited() -> None:
    judged = audit.judge({"dependencies": [CLEAN, VULNERABLE, SKIPPED, OURSELVES]})

    assert audit.describe(judged).splitlines() == [
        "audit: 1 packages without a known vulnerability",
        "audit: VULNERABLE pillow 1.0: PYSEC-1, PYSEC-2",
        "audit: NOT AUDITED: 1 of 3 packages; the index has no data about",
        "       anyio",
    ]


def test_coverage_gate_checks_each_package() -> None:
    assert coverage_gate.too_low({"gateway": 100.0, "payments": 94.99}) == ["payments"]
    assert coverage_gate.too_low({"gateway": 95.0, "payments": 95.0}) == []


def test_coverage_gate_counts_an_unmeasured_package_as_zero() -> None:
    assert coverage_gate.measured_percent("no_such_package") == 0.0
