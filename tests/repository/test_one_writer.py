"""Only payments/ledger.py writes a status. No import contract can test that, so these tests parse the source.

They find assignments to `.status`, `setattr`, keywords of queryset and model calls that write, and raw SQL. gateway/
and sandbox/ are skipped, because their `status` is FeexPay's and not a column.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.repository.tree import python_files, relative

WRITER = "django_feexpay/payments/ledger.py"
PACKAGES_WITHOUT_ROWS = ("django_feexpay/gateway/", "django_feexpay/sandbox/")
WRITING_CALLS = {
    "Attempt",
    "Payment",
    "acreate",
    "aget_or_create",
    "aupdate",
    "aupdate_or_create",
    "create",
    "get_or_create",
    "update",
    "update_or_create",
}
SQL_WRITE = re.compile(
    r"update\s+\S*feexpay_(payment|attempt)\b(?:(?!\bwhere\b).)*\bstatus\b", re.IGNORECASE | re.DOTALL
)


def writes_of_status(source: str) -> list[int]:
    """The numbers of the lines that write a status."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.expr)]
    return sorted({node.lineno for node in nodes if _writes(node)})


def _writes(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr="status", ctx=ast.Store()):
            return True
        case ast.Constant(value=str() as text):
            return SQL_WRITE.search(text) is not None
        case ast.Call():
            return _call_writes(node)
    return False


def _call_writes(node: ast.Call) -> bool:
    name = ast.unparse(node.func).split(".")[-1]
    if name in {"setattr", "bulk_update"}:
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        return any(_mentions_status(value) for value in values)
    return name in WRITING_CALLS and any(_sets_status(keyword) for keyword in node.keywords)


def _sets_status(keyword: ast.keyword) -> bool:
    # `defaults={"status": …}` and `**{"status": …}` write as well.
    return keyword.arg == "status" or (
        keyword.arg in {"defaults", "create_defaults", None} and _mentions_status(keyword.value)
    )


def _mentions_status(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Constant) and part.value == "status" for part in ast.walk(node))


@pytest.mark.parametrize(
    "source",
    [
        "attempt.status = Status.FAILED",
        "payment.latest_attempt.status = status",
        "payment.status, attempt.status = a, b",
        "setattr(payment, 'status', x)",
        "Attempt.objects.filter(id=1).update(status=x)",
        "Attempt.objects.create(payment=payment, status=x)",
        "models.Payment(status=x)",
        "Payment.objects.update_or_create(id=1, defaults={'status': x})",
        "Payment.objects.filter(id=1).update(**{'status': x})",
        "Attempt.objects.bulk_update(rows, ['status'])",
        "Attempt.objects.bulk_update(rows, fields=['status'])",
        "cursor.execute('UPDATE feexpay_attempt SET note = 1, status = 2')",
    ],
)
def test_writer_check_sees_every_way_to_write(source: str) -> None:
    assert writes_of_status(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "seen = attempt.status",
        "Attempt.objects.filter(status=x).update(note=y)",
        "Response(body, status=404)",
        "Attempt.objects.create(payment=payment)",
        "cursor.execute('SELECT status FROM feexpay_attempt FOR UPDATE')",
        "cursor.execute('UPDATE feexpay_attempt SET note = 1 WHERE status = 2')",
    ],
)
def test_writer_check_accepts_reading(source: str) -> None:
    assert writes_of_status(source) == []


def test_status_is_written_by_the_ledger_only() -> None:
    writers = {
        relative(path): writes_of_status(path.read_text())
        for path in python_files("django_feexpay")
        if relative(path) != WRITER and not relative(path).startswith(PACKAGES_WITHOUT_ROWS)
    }

    assert {path: lines for path, lines in writers.items() if lines} == {}
