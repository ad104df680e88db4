"""Large exports and statements, made in the background and stored until the user fetches them.

The background work claims one file at a time and writes it in parts. Each part and the position in the list are noted
in one guarded update, so a file continues where a dead worker left it. A claim ends after LEASE; a worker that lost
its claim deletes the part it wrote and stops.

What a list contains is known to its page in the admin, which registers a source here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.db.models import F, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from django_feexpay import conf, table_files
from django_feexpay.conf import feexpay
from django_feexpay.models import ReportFile
from django_feexpay.models.fields import Sealed
from django_feexpay.table_files import Cell, ExportError, Table

logger = logging.getLogger("django_feexpay.worker")

State, Reason = ReportFile.State, ReportFile.Reason

#: Larger tables are made in the background. The browser waits for smaller ones: a second or two.
BACKGROUND_ABOVE = {"csv": 100_000, "xlsx": 5_000}
#: A user may wait for this many files at the same time.
MAX_UNFINISHED = 5
#: A worker that stored no part for this time is dead. The longest workbook takes less, on a busy machine too.
LEASE = timedelta(minutes=3)
#: A file is abandoned after this many errors and dead workers.
MAX_FAILURES = 5
#: The first wait after an error; it doubles with each.
_RETRY_AFTER = timedelta(seconds=20)

_PART_ROWS = 5_000
#: After this time it is another file's turn.
_TURN_SECONDS = 20.0
_DELETED_AT_ONCE = 50
_FOLDER = "feexpay-exports"

#: The values that order a list, of the last row read, as text.
Cursor = Sequence[str]
Slice = tuple[list[list[Cell]], Cursor]


@dataclass(frozen=True, slots=True)
class Rows:
    """An opened list. `after`: yields its rows behind a position, in slices; behind nothing: all of them."""

    heads: Sequence[str]
    after: Callable[[Cursor], Iterator[Slice]]


@dataclass(frozen=True, slots=True)
class Source:
    """A list that is exported. `open`: reads the query string for the user, and raises ExportError if it cannot."""

    may: Callable[[Any], bool]
    open: Callable[[str, Any], Rows]


class TooManyFilesError(ExportError):
    """The user waits for MAX_UNFINISHED files already."""


_sources: dict[str, Source] = {}


def register(list_name: str, source: Source) -> None:
    """Let files be made of this list. Safe to repeat: yes, the last source counts."""
    _sources[list_name] = source


# --- for the pages -----------------------------------------------------------------------------------


def is_large(file_format: str, count: int) -> bool:
    """Whether a table is made in the background."""
    return count > BACKGROUND_ABOVE[file_format]


def request(*, user: Any, list_name: str, query: str, file_format: str, file_name: str, count: int) -> ReportFile:
    """Ask for a file in the current language.

    Changes: ReportFile. Raises: ExportError. Safe to repeat: no, each call asks for a file.
    """
    table_files.ensure_possible(file_format, count)
    now = conf.now()
    if unexpired(user).filter(state__in=(State.WAITING, State.WORKING)).count() >= MAX_UNFINISHED:
        message = _("You already wait for %d files. Wait until one is ready, or delete one.")
        raise TooManyFilesError(message % MAX_UNFINISHED)
    return ReportFile.objects.create(
        user=user,
        list_name=list_name,
        file_name=f"{file_name}-{now:%Y-%m-%d}.{file_format}",
        file_format=file_format,
        language=translation.get_language() or settings.LANGUAGE_CODE,
        filter=Sealed.of({"query": query}),
        rows_total=count,
        created_at=now,
        expires_at=now + timedelta(days=feexpay.export_days),
    )


def unexpired(user: Any) -> QuerySet[ReportFile]:
    """The files of a user that were not deleted, newest first."""
    return ReportFile.objects.filter(user=user, expires_at__gt=conf.now()).order_by("-created_at")


def may_fetch(row: ReportFile, user: Any) -> bool:
    """Whether the file is this user's and the user still has the permission."""
    source = _sources.get(row.list_name)
    return row.user_id == user.pk and source is not None and source.may(user)


def chunks(row: ReportFile) -> Iterator[bytes]:
    """The bytes of a ready file. Raises: OSError before the first byte if a piece is not in this storage."""
    place = storage()
    missing = [name for name in row.parts if not place.exists(name)]
    if missing:
        raise FileNotFoundError(missing[0])
    return _read(place, row.parts)


def cancel(row: ReportFile) -> None:
    """Stop making a file, and let the next sweep delete it. Changes: ReportFile. Safe to repeat: yes."""
    ReportFile.objects.filter(pk=row.pk).update(expires_at=conf.now())


# --- the storage -------------------------------------------------------------------------------------


def storage() -> Storage:
    """Where the files are: the storage that EXPORT_STORAGE names, or a directory that no web server shows."""
    if feexpay.export_storage:
        return storages[feexpay.export_storage]
    return FileSystemStorage(
        location=default_directory(), file_permissions_mode=0o600, directory_permissions_mode=0o700
    )


def default_directory() -> Path:
    return Path(getattr(settings, "BASE_DIR", "") or Path.cwd()) / _FOLDER


def _read(place: Storage, names: Iterable[str]) -> Iterator[bytes]:
    for name in names:
        with place.open(name) as file:
            yield from file.chunks()


def _remove(place: Storage, row: ReportFile) -> None:
    """Delete every piece of a file, also those that a dead worker did not note."""
    try:
        _folders, names = place.listdir(str(row.pk))
    except (FileNotFoundError, NotImplementedError):  # nothing written yet, or a storage that lists nothing
        names = [name.rpartition("/")[2] for name in row.parts]
    for name in names:
        place.delete(f"{row.pk}/{name}")
    if isinstance(place, FileSystemStorage) and place.exists(str(row.pk)):
        place.delete(str(row.pk))


# --- for the background work -------------------------------------------------------------------------


def is_due() -> bool:
    """Whether a file is to be made or deleted now. One statement."""
    now = conf.now()
    return ReportFile.objects.filter(_due(now) | _expired(now)).exists()


def work(stop: Callable[[], bool] = lambda: False) -> None:
    """Delete expired files, then make files that are due, for some seconds or until `stop`.

    Changes: ReportFile, the storage. Safe to repeat: yes, also concurrently.
    """
    if not is_due():
        return
    delete_expired()
    ends_at = time.monotonic() + _TURN_SECONDS
    while not stop() and time.monotonic() < ends_at:
        row = claim()
        if row is None:
            return
        make(row, lambda: stop() or time.monotonic() >= ends_at)


def expired() -> QuerySet[ReportFile]:
    """The files that `delete_expired` deletes."""
    return ReportFile.objects.filter(_expired(conf.now()))


def delete_expired() -> int:
    """Delete files and their rows; return how many.

    Changes: ReportFile, the storage. Safe to repeat: yes.
    """
    place, deleted = storage(), 0
    # In any order: files that the storage does not delete would otherwise keep their place before the others for ever.
    for row in expired().order_by("?")[:_DELETED_AT_ONCE]:
        try:
            _remove(place, row)
        except Exception as error:  # each storage raises its own exceptions
            logger.error("file %s is not deleted: %s; the next sweep tries again", row.pk, type(error).__name__)
            continue
        deleted += ReportFile.objects.filter(pk=row.pk).delete()[0]
    return deleted


def claim() -> ReportFile | None:
    """Claim the file that had the fewest turns; None if nothing is due or another worker was faster.

    Changes: ReportFile. Safe to repeat: yes.
    """
    now = conf.now()
    row = ReportFile.objects.filter(_due(now)).order_by("claim_number", "created_at").first()
    if row is None:
        return None
    died = row.state == State.WORKING and row.leased_until is not None
    claimed = ReportFile.objects.filter(_due(now), pk=row.pk, claim_number=row.claim_number).update(
        state=State.WORKING,
        claim_number=F("claim_number") + 1,
        leased_until=now + LEASE,
        failure_count=F("failure_count") + (1 if died else 0),
    )
    if not claimed:
        return None
    row.refresh_from_db()
    return row


def make(row: ReportFile, stop: Callable[[], bool]) -> None:
    """Write the next parts of a claimed file, until it is complete, `stop`, or another worker took it over.

    Changes: ReportFile, the storage. Safe to repeat: yes.
    """
    source = _sources[row.list_name]
    if row.failure_count >= MAX_FAILURES:
        _fail(row, Reason.GAVE_UP)
        return
    if row.user is None or not source.may(row.user):
        _fail(row, Reason.NOT_ALLOWED)
        return
    try:
        with translation.override(row.language):
            _write(row, source, stop)
    except ExportError as error:
        logger.warning("file %s is not possible: %s", row.pk, type(error).__name__)
        _fail(row, Reason.NOT_POSSIBLE)
    except OSError as error:  # the storage
        again_at = conf.now() + _RETRY_AFTER * 2**row.failure_count
        logger.error("file %s: %s; trying again at %s", row.pk, type(error).__name__, again_at)
        _held(row).update(state=State.WAITING, leased_until=again_at, failure_count=F("failure_count") + 1)


def _write(row: ReportFile, source: Source, stop: Callable[[], bool]) -> None:
    assert row.filter is not None  # noqa: S101 -- `request` writes it, and nothing erases it
    rows = source.open(row.filter.open()["query"], row.user)
    place = storage()
    if row.file_format == "csv" and not row.parts and not _note(place, row, table_files.csv_head(rows.heads), 0, []):
        return
    for part, cursor in _parts(rows.after(row.cursor)):
        content = table_files.csv_rows(part) if row.file_format == "csv" else _as_lines(part)
        if not _note(place, row, content, len(part), cursor):
            return
        if stop():
            _held(row).update(leased_until=None)
            return
    _finish(place, row, rows.heads)


def _parts(slices: Iterator[Slice]) -> Iterator[Slice]:
    """Slices joined to parts of about _PART_ROWS rows."""
    joined: list[list[Cell]] = []
    cursor: Cursor = []
    for some, cursor in slices:
        joined += some
        if len(joined) >= _PART_ROWS:
            yield joined, cursor
            joined = []
    if joined:
        yield joined, cursor


def _note(place: Storage, row: ReportFile, content: bytes, count: int, cursor: Cursor) -> bool:
    """Store a part and note it; False, and the part is deleted, if the claim is lost."""
    name = place.save(f"{row.pk}/{len(row.parts):05}-{row.claim_number}", ContentFile(content))
    parts, done = [*row.parts, name], row.rows_done + count
    position = list(cursor) or row.cursor
    if not _held(row).update(parts=parts, rows_done=done, cursor=position, leased_until=conf.now() + LEASE):
        place.delete(name)
        return False
    row.parts, row.rows_done, row.cursor = parts, done, position
    return True


def _finish(place: Storage, row: ReportFile, heads: Sequence[str]) -> None:
    """Make the workbook of the stored rows, if it is one, and mark the file ready."""
    parts = row.parts
    if row.file_format == "xlsx":
        table = Table(row.list_name, heads, _from_lines(_lines(place, parts)), row.rows_done)
        with table_files.xlsx_file(table) as book:
            parts = [place.save(f"{row.pk}/book-{row.claim_number}", File(book))]
    is_ours = _held(row).update(
        state=State.READY, parts=parts, finished_at=conf.now(), leased_until=None, rows_total=row.rows_done
    )
    if row.file_format == "xlsx":
        for name in row.parts if is_ours else parts:
            place.delete(name)


def _held(row: ReportFile) -> QuerySet[ReportFile]:
    """The row, while our claim lasts and the file is not cancelled."""
    return ReportFile.objects.filter(
        pk=row.pk, claim_number=row.claim_number, state=State.WORKING, expires_at__gt=conf.now()
    )


def _fail(row: ReportFile, reason: ReportFile.Reason) -> None:
    _held(row).update(state=State.FAILED, reason=reason, finished_at=conf.now(), leased_until=None)


def _due(now: datetime) -> Q:
    # A lease that ends later than any worker sets it was written by a clock that was ahead.
    is_free = Q(leased_until=None) | Q(leased_until__lte=now) | Q(leased_until__gt=now + 10 * LEASE)
    unfinished = Q(state__in=(State.WAITING, State.WORKING), expires_at__gt=now, list_name__in=list(_sources))
    return unfinished & is_free


def _expired(now: datetime) -> Q:
    return Q(expires_at__lte=now) | Q(user=None)


# --- rows of a workbook, until it is made ------------------------------------------------------------


def _as_lines(rows: Iterable[Iterable[Cell]]) -> bytes:
    return b"".join(json.dumps([_encoded(cell) for cell in row]).encode() + b"\n" for row in rows)


def _lines(place: Storage, names: Iterable[str]) -> Iterator[bytes]:
    for name in names:
        with place.open(name) as file:
            yield from file


def _from_lines(lines: Iterable[bytes]) -> Iterator[list[Cell]]:
    for line in lines:
        yield [_decoded(cell) for cell in json.loads(line)]


def _encoded(cell: Cell) -> Any:
    if isinstance(cell, datetime):
        return {"time": cell.isoformat()}
    if isinstance(cell, date):
        return {"day": cell.isoformat()}
    return {"number": str(cell)} if isinstance(cell, Decimal) else cell


_DECODERS: dict[str, Callable[[str], Cell]] = {
    "time": datetime.fromisoformat,
    "day": date.fromisoformat,
    "number": Decimal,
}


def _decoded(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        known: Cell = cell
        return known
    [(kind, text)] = cell.items()
    return _DECODERS[kind](text)
