"""Payments as a table for a spreadsheet: CSV of any length, XLSX up to a number of rows. Both hold the same cells.

Read in slices that each begin behind the last row of the one before, so that a million rows take no more memory than
a thousand, on any database and through any pooler, and no statement or transaction lasts longer than a slice.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import IO, Any, Protocol
from wsgiref.util import FileWrapper

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue.money import show_rate
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import Status, detail, public
from django_feexpay.models.payment import PaymentQuerySet

#: A workbook is built whole before its first byte leaves; so many rows take some five seconds.
XLSX_MOST_ROWS = 100_000

_SLICE = 1000
_BLOCK_BYTES = 64 * 1024

#: The heads of the columns, in their order; the API's words where it has the same thing.
COLUMNS = (
    *("id", "created_at", "settled_at", "status", "detail", "provider", "country", "amount", "currency"),
    *("charged_amount", "charged_currency", "exchange_rate", "fee", "phone", "merchant_reference", "description"),
    *("reference", "attempt_count"),
)
_READ = (
    *("created_at", "pk", "settled_at", "status", "provider_id", "amount", "currency", "charged_amount"),
    *("charged_currency", "exchange_rate", "fee", "merchant_reference", "description"),
    *("latest_attempt__otp_required", "latest_attempt__redirect_url", "latest_attempt__masked_msisdn"),
    *("latest_attempt__gateway_reference", "latest_attempt__ordinal"),
)

#: What a spreadsheet would run: a formula's first character, also behind white space, and behind the semicolon that
#: parts the cells of a CSV where numbers are written with commas.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@＝＋－＠])")  # noqa: RUF001 -- the wide ones are taken for the narrow ones
_BREAK = re.compile(r"[\t\r\n\v\f\x1c-\x1f\x85\u2028\u2029]+")
_PLAIN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9 _.,:/#()+=@-]*)?")
_UNWRITABLE = re.compile("[\x00-\x08\x0e-\x1b\ufffe\uffff]")

_COUNTRIES = {code: spec.country or "" for code, spec in CATALOGUE.items()}

Cell = str | int
Row = list[Cell]


class ExportError(Exception):
    """This export cannot be made. The text is for whoever asked for it, in their language."""


class TooManyRowsError(ExportError):
    """More rows than this format may have."""


class NotInstalledError(ExportError):
    """The package that writes this format is not there."""


class Chunks(Protocol):
    """A file in pieces. Whoever took it closes it, read or not."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write the table. `chunks` raises ExportError before it gives its first bytes, and so does `judge`,
    which writes nothing.
    """

    media_type: str
    chunks: Callable[[PaymentQuerySet], Chunks]
    judge: Callable[[PaymentQuerySet], None]


def rows(payments: PaymentQuerySet) -> Iterator[Row]:
    """The cells of each payment, newest first; never a msisdn, a metadata or another secret."""
    for part in _slices(payments):
        yield from map(_row, part)


def csv_chunks(payments: PaymentQuerySet) -> Generator[bytes, None, None]:
    """UTF-8, RFC 4180, a head line. The head comes before the first row is read."""
    yield _written([COLUMNS])
    for part in _slices(payments):
        yield _written(map(_row, part))


def xlsx_chunks(payments: PaymentQuerySet) -> Chunks:
    """A workbook of one sheet, built in a temporary file. Raises: TooManyRowsError, NotInstalledError."""
    _judge_workbook(payments)
    book = _workbook()
    sheet = book.create_sheet("payments")
    sheet.freeze_panes = "A2"
    sheet.append(COLUMNS)
    for row in rows(payments):
        sheet.append(row)
    return FileWrapper(_saved(book), _BLOCK_BYTES)


def _judge_workbook(payments: PaymentQuerySet) -> None:
    _workbook()
    if payments.order_by()[: XLSX_MOST_ROWS + 1].count() > XLSX_MOST_ROWS:
        message = _("A workbook holds at most %d payments: choose fewer by a filter, or take CSV.")
        raise TooManyRowsError(message % XLSX_MOST_ROWS)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format("text/csv", csv_chunks, judge=lambda payments: None),
        "xlsx": Format(
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsx_chunks, judge=_judge_workbook
        ),
    }
)


def download(payments: PaymentQuerySet, name: str, *, only_head: bool = False) -> StreamingHttpResponse:
    """The table as a file that a browser saves, sent while it is read. Raises: ExportError, then nothing is sent.

    only_head: the answer to a HEAD, for which no file is made.
    """
    chosen = FORMATS[name]
    chunks: Iterable[bytes] = ()
    if only_head:
        chosen.judge(payments)
    else:
        chunks = chosen.chunks(payments)
    response = StreamingHttpResponse(chunks, content_type=_content_type(chosen))
    response["Content-Disposition"] = f'attachment; filename="payments-{conf.now():%Y-%m-%d}.{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _content_type(chosen: Format) -> str:
    return f"{chosen.media_type}; charset=utf-8" if chosen.media_type.startswith("text/") else chosen.media_type


def safe(text: str) -> str:
    """A text as a cell: one line, and never a formula. An apostrophe stands where one would have begun."""
    if text.isascii() and _PLAIN.fullmatch(text):
        return text  # nearly all of them; the rest costs three times as much
    one_line = _UNWRITABLE.sub("\ufffd", _BREAK.sub(" ", text))
    return _FORMULA.sub(r"\1'", one_line)


# --- reading -----------------------------------------------------------------------------------------


def _slices(payments: PaymentQuerySet) -> Iterator[list[tuple[Any, ...]]]:
    ordered = payments.order_by("-created_at", "-id")
    part = list(ordered.values_list(*_READ)[:_SLICE])
    while part:
        yield part
        if len(part) < _SLICE:
            return
        created_at, pk = part[-1][:2]
        part = list(ordered.older_than(created_at, pk).values_list(*_READ)[:_SLICE])


def _row(read: tuple[Any, ...]) -> Row:
    created_at, pk, settled_at, status, provider, amount, currency, charged, charged_currency, rate, *rest = read
    fee, merchant_reference, description, otp_required, redirect_url, masked_msisdn, reference, ordinal = rest
    public_status, said = _words(status, otp_required, bool(redirect_url))
    return [
        str(pk),
        _instant(created_at),
        _instant(settled_at),
        public_status,
        said,
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
    ]


@lru_cache(maxsize=64)
def _words(status: str, otp_required: bool, redirected: bool) -> tuple[str, str]:
    """The public status and its detail. The two flags of a payment without attempts may be NULL."""
    life = Status(status)
    return public(life).value, detail(life, otp_required=otp_required, redirect_url="x" * redirected).value


_safe_msisdn = lru_cache(maxsize=1024)(safe)  # only two digits of each are shown: there are few


def _instant(at: datetime | None) -> str:
    """ISO 8601 in UTC with Z, as in the API."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- writing -----------------------------------------------------------------------------------------


class _Line:
    """What csv writes into; a list of lines is all it has to be."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


def _written(cells: Iterable[Iterable[Cell]]) -> bytes:
    target = _Line()
    csv.writer(target).writerows(cells)
    return "".join(target.lines).encode()


def _workbook() -> Any:
    try:
        from openpyxl import Workbook  # an extra: only this format needs it
    except ImportError:
        text = _("XLSX is not installed here: pip install 'django-feexpay[export]'. CSV always is.")
        raise NotInstalledError(text) from None
    return Workbook(write_only=True)


def _saved(book: Any) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by who reads it to its end
    book.save(file)
    file.seek(0)
    return file
