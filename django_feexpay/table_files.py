"""Tables as files: CSV of any length, and workbooks with real dates and numbers. No cell can be a formula."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import IO, Any
from wsgiref.util import FileWrapper

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue.money import CURRENCIES

#: A workbook is complete before its first byte is sent; this many rows take about five seconds.
XLSX_MAX_ROWS = 100_000

_SLICE = 1000
_BLOCK_BYTES = 64 * 1024

#: Spreadsheets read a CSV file as UTF-8 only if it begins with this mark.
_BYTE_ORDER_MARK = "\ufeff".encode()

#: The characters that start a formula in a spreadsheet. They count after white space, and after the semicolon that
#: separates cells in countries with a decimal comma.
_FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@＝＋－＠])")  # noqa: RUF001 -- spreadsheets accept the wide forms too
_BREAK = re.compile(r"[\t\r\n\v\f\x1c-\x1f\x85\u2028\u2029]+")
_PLAIN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9 _.,:/#()+=@-]*)?")
_UNWRITABLE = re.compile("[\x00-\x08\x0e-\x1b\ufffe\uffff]")

Cell = str | int | Decimal | date | datetime | None
#: A file in pieces. The receiver must close it, read or not.
Chunks = Generator[bytes, None, None] | FileWrapper


class ExportError(Exception):
    """This export is not possible. The text is for the user, in their language."""


class TooManyRowsError(ExportError):
    """The format cannot have this many rows."""


class NotInstalledError(ExportError):
    """The package that writes this format is not installed."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table for people. `name` names the file and the sheet. `count`: the number of rows. `rows` is read once.

    Its texts may be anything; times are shown in the shop's time zone.
    """

    name: str
    heads: Sequence[str]
    rows: Iterable[Sequence[Cell]]
    count: int


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A file format of tables. `chunks` raises ExportError before the first bytes."""

    media_type: str
    chunks: Callable[[Table], Chunks]


def ensure_possible(name: str, count: int) -> None:
    """Check that this format can have so many rows here. Raises: TooManyRowsError, NotInstalledError."""
    if name != "xlsx":
        return
    if count > XLSX_MAX_ROWS:
        message = _("A workbook holds at most %d rows. Choose fewer with a filter, or export CSV.")
        raise TooManyRowsError(message % XLSX_MAX_ROWS)
    new_workbook()


def csv_head(heads: Iterable[str]) -> bytes:
    """The beginning of a CSV file."""
    return _BYTE_ORDER_MARK + csv_bytes([[safe(head) for head in heads]])


def csv_rows(rows: Iterable[Iterable[Cell]]) -> bytes:
    """Rows of a CSV file."""
    return csv_bytes([_written(cell) for cell in row] for row in rows)


def csv_chunks(table: Table) -> Generator[bytes, None, None]:
    """CSV by RFC 4180 in UTF-8 with a byte order mark. The heads are sent before the first row is read."""
    yield csv_head(table.heads)
    for part in _parts(table.rows):
        yield csv_rows(part)


def xlsx_chunks(table: Table) -> Chunks:
    """A workbook of one sheet, written to a temporary file. Raises: TooManyRowsError, NotInstalledError."""
    return FileWrapper(xlsx_file(table), _BLOCK_BYTES)


def xlsx_file(table: Table) -> IO[bytes]:
    """The workbook of `xlsx_chunks` as the temporary file itself, which the caller closes."""
    ensure_possible("xlsx", table.count)
    book = new_workbook()
    sheet = book.create_sheet(table.name)
    sheet.freeze_panes = "A2"
    for index in range(len(table.heads)):
        sheet.column_dimensions[_letter(index)].width = 18
    sheet.append([safe(head) for head in table.heads])
    for row in table.rows:
        sheet.append([_typed(cell) for cell in row])
    return _stored(book)


FORMATS: Mapping[str, TableFormat] = {
    "csv": TableFormat("text/csv", csv_chunks),
    "xlsx": TableFormat("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsx_chunks),
}


def download(table: Table, name: str) -> StreamingHttpResponse:
    """Stream the table as a file that a browser saves. Raises: ExportError before anything is sent."""
    chosen = FORMATS[name]
    return attachment(chosen.chunks(table), chosen.media_type, f"{table.name}-{conf.now():%Y-%m-%d}.{name}")


def attachment(chunks: Iterable[bytes], media_type: str, filename: str) -> StreamingHttpResponse:
    """The answer that makes a browser save these bytes."""
    charset = "; charset=utf-8" if media_type.startswith("text/") else ""
    response = StreamingHttpResponse(chunks, content_type=f"{media_type}{charset}")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def in_units(amount: int, currency: str) -> Decimal | int:
    """An amount in units of its currency, as accountants write it: 10.00 for 1000 cents, 1000 for 1 000 F CFA.

    An amount without a currency stays as it is.
    """
    exponent = CURRENCIES[currency].exponent if currency else 0
    return Decimal(amount).scaleb(-exponent) if exponent else amount


def safe(text: str) -> str:
    """A text as a cell: one line, with an apostrophe before the start of a formula."""
    if text.isascii() and _PLAIN.fullmatch(text):
        return text  # most texts; the substitutions below take three times as long
    one_line = _UNWRITABLE.sub("\ufffd", _BREAK.sub(" ", text))
    return _FORMULA.sub(r"\1'", one_line)


def csv_bytes(cells: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue().encode()


def new_workbook() -> Any:
    """An empty workbook that keeps no row in memory. Raises: NotInstalledError."""
    try:
        from openpyxl import Workbook  # an optional dependency of this format
    except ImportError:
        text = _("XLSX is not installed here. Run pip install 'django-feexpay[export]', or export CSV.")
        raise NotInstalledError(text) from None
    return Workbook(write_only=True)


def saved(book: Any) -> FileWrapper:
    """The bytes of a finished workbook, from a temporary file."""
    return FileWrapper(_stored(book), _BLOCK_BYTES)


def _stored(book: Any) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    book.save(file)
    file.seek(0)
    return file


def _parts(rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[Sequence[Cell], ...]]:
    remaining = iter(rows)
    while part := tuple(islice(remaining, _SLICE)):
        yield part


def _typed(cell: Cell) -> Cell:
    """A cell of a workbook: a date or number stays one. A workbook knows no time zone."""
    if isinstance(cell, datetime):
        return timezone.localtime(cell, timezone.get_default_timezone()).replace(tzinfo=None, microsecond=0)
    return safe(cell) if isinstance(cell, str) else cell


def _written(cell: Cell) -> Cell:
    """A cell of CSV: a time as `2026-11-28 18:25:21`, which spreadsheets read as a time."""
    typed = _typed(cell)
    return typed.isoformat(sep=" ") if isinstance(typed, datetime) else typed


def _letter(index: int) -> str:
    """The letter of a column: A is 0."""
    return chr(ord("A") + index)
