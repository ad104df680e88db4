"""Payments as a table: CSV of any length, XLSX up to XLSX_MAX_ROWS. Both have the same cells.

Rows are read in slices, each starting after the last row of the slice before. So a million rows take no more memory
than a thousand, and no statement or transaction lasts longer than one slice, on any database and behind any pooler.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue.money import show_rate
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import Status, detail, public
from django_feexpay.models import Incident, Refund
from django_feexpay.models.payment import PaymentQuerySet
from django_feexpay.table_files import (
    XLSX_MAX_ROWS,
    Chunks,
    TooManyRowsError,
    attachment,
    csv_bytes,
    new_workbook,
    safe,
    saved,
)

_SLICE = 1000

#: The column names in their order; the same names as in the API.
COLUMNS = (
    *("id", "created_at", "settled_at", "status", "detail", "provider", "country", "amount", "currency"),
    *("charged_amount", "charged_currency", "exchange_rate", "fee", "phone", "merchant_reference", "description"),
    *("reference", "attempt_count", "refunded"),
)
_READ = (
    *("created_at", "pk", "settled_at", "status", "provider_id", "amount", "currency", "charged_amount"),
    *("charged_currency", "exchange_rate", "fee", "merchant_reference", "description"),
    *("latest_attempt__otp_required", "latest_attempt__redirect_url", "latest_attempt__masked_msisdn"),
    *("latest_attempt__gateway_reference", "latest_attempt__ordinal", "refunded"),
)

_COUNTRIES = {code: spec.country or "" for code, spec in CATALOGUE.items()}

Cell = str | int
Row = list[Cell]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. `chunks` raises ExportError before the first bytes; `check` raises it and makes no file."""

    media_type: str
    chunks: Callable[[PaymentQuerySet], Chunks]
    check: Callable[[PaymentQuerySet], object]


def rows(payments: PaymentQuerySet) -> Iterator[Row]:
    """The cells of each payment, newest first, without msisdn, metadata or secrets."""
    for part in _slices(payments):
        yield from map(_row, part)


def csv_chunks(payments: PaymentQuerySet) -> Generator[bytes, None, None]:
    """CSV by RFC 4180 in UTF-8. The header line is sent before the first row is read."""
    yield csv_bytes([COLUMNS])
    for part in _slices(payments):
        yield csv_bytes(map(_row, part))


def xlsx_chunks(payments: PaymentQuerySet) -> Chunks:
    """A workbook of one sheet, written to a temporary file. Raises: TooManyRowsError, NotInstalledError."""
    book = _new_workbook(payments)
    sheet = book.create_sheet("payments")
    sheet.freeze_panes = "A2"
    sheet.append(COLUMNS)
    for row in rows(payments):
        sheet.append(row)
    return saved(book)


def _new_workbook(payments: PaymentQuerySet) -> Any:
    book = new_workbook()
    if payments.order_by()[: XLSX_MAX_ROWS + 1].count() > XLSX_MAX_ROWS:
        message = _("A workbook holds at most %d payments. Choose fewer with a filter, or export CSV.")
        raise TooManyRowsError(message % XLSX_MAX_ROWS)
    return book


FORMATS: Mapping[str, Format] = {
    "csv": Format("text/csv", csv_chunks, check=lambda payments: None),
    "xlsx": Format(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsx_chunks, check=_new_workbook
    ),
}


def download(payments: PaymentQuerySet, name: str, *, only_head: bool = False) -> StreamingHttpResponse:
    """Stream the table as a file that a browser saves. Raises: ExportError before anything is sent.

    only_head: answer HEAD, without a body.
    """
    chosen = FORMATS[name]
    chunks: Iterable[bytes] = ()
    if only_head:
        chosen.check(payments)
    else:
        chunks = chosen.chunks(payments)
    return attachment(chunks, chosen.media_type, f"payments-{conf.now():%Y-%m-%d}.{name}")


def _slices(payments: PaymentQuerySet) -> Iterator[list[tuple[Any, ...]]]:
    ordered = payments.order_by("-created_at", "-id").annotate(refunded=refunded_sum())
    part = list(ordered.values_list(*_READ)[:_SLICE])
    while part:
        yield part
        if len(part) < _SLICE:
            return
        created_at, pk = part[-1][:2]
        part = list(ordered.older_than(created_at, pk).values_list(*_READ)[:_SLICE])


def refunded_sum() -> CombinedExpression:
    """What went back to the payer, second charges included, without the payouts that FeexPay undid.

    Subqueries: a join would need a GROUP BY of all columns.
    """
    undone = Incident.objects.filter(payment=OuterRef("pk"), kind=Incident.Kind.PAYOUT_UNDONE)
    recorded = Refund.objects.filter(payment=OuterRef("pk"), state=Refund.State.RECORDED)
    return _sum_of(recorded) - _sum_of(undone.exclude(resolution=Incident.Resolution.NO_MONEY_LOST))


def _sum_of(rows: QuerySet[Any]) -> Coalesce:
    return Coalesce(Subquery(rows.order_by().values("payment").annotate(total=Sum("amount")).values("total")), 0)


def _row(read: tuple[Any, ...]) -> Row:
    created_at, pk, settled_at, status, provider, amount, currency, charged, charged_currency, rate, *rest = read
    fee, merchant_reference, description, otp_required, redirect_url, masked_msisdn, reference, ordinal, refunded = rest
    public_status, public_detail = _public(status, otp_required, bool(redirect_url))
    return [
        str(pk),
        _instant(created_at),
        _instant(settled_at),
        public_status,
        public_detail,
        provider,
        _COUNTRIES.get(provider, ""),
        amount,
        currency,
        charged,
        charged_currency,
        "" if rate is None else show_rate(rate),
        fee,
        _safe_msisdn(masked_msisdn or ""),
        safe(merchant_reference),
        safe(description),
        safe(reference or ""),
        ordinal or 0,
        refunded,
    ]


@lru_cache(maxsize=64)
def _public(status: str, otp_required: bool, redirected: bool) -> tuple[str, str]:
    """The public status and detail. Without an attempt the two flags are NULL."""
    known = Status(status)
    return public(known).value, detail(known, otp_required=otp_required, redirect_url="x" * redirected).value


_safe_msisdn = lru_cache(maxsize=1024)(safe)  # a masked number shows few digits, so few numbers differ


def _instant(at: datetime | None) -> str:
    """ISO 8601 in UTC with Z, as in the API."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
