"""Anchor files: the ends of the chains, written once a day, for an operator to keep where this server cannot write.

Anyone who can write to the database can delete the last events of a payment together with the columns that name the
end of its chain, or delete a whole payment. The rows that are left then look correct, but an anchor names one that is
gone.

A file has one line for each payment whose chain grew since the previous file, and one for each chain of staff actions.
It is signed with a key and names the previous file, so a changed or missing file is noticed too. A file is never
changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO
from uuid import UUID

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.models import Payment, PaymentEvent, StaffChain
from django_feexpay.payments.audit import older_rows, verification
from django_feexpay.payments.audit.keys import known_keys, signing_key
from django_feexpay.payments.audit.verification import ChainBreak

logger = logging.getLogger("django_feexpay.payments")

_FORMAT = "feexpay audit anchor 1"
_NAME = re.compile(r"feexpay-audit-(\d{4}-\d{2}-\d{2})\.txt")
#: A day is anchored once its last transactions have certainly ended.
_AFTER_MIDNIGHT = timedelta(minutes=15)
#: Each file looks back a little into the day before, for an event that was committed late.
_OVERLAP = timedelta(hours=1)


class AnchorError(Exception):
    """A file cannot be written, or is no anchor."""


@dataclass(frozen=True, slots=True)
class AnchorFile:
    """What an anchor file says about itself. `previous`: the name and the digest of the file before it, or ""."""

    path: Path
    day: date
    since: str
    previous: str
    digest: str


# --- writing -----------------------------------------------------------------------------------------


def write_nightly() -> None:
    """Write what is due into AUDIT_ANCHORS, for the engines; an error is logged.

    Changes: one file. Safe to repeat: yes.
    """
    if not feexpay.audit_anchors:
        return
    try:
        path = write_due(Path(feexpay.audit_anchors))
    except AnchorError as error:
        logger.error("no audit anchor: %s", error)
    else:
        if path is not None:
            logger.info("wrote the audit anchor %s", path)


def write_due(directory: Path) -> Path | None:
    """Write the anchor of yesterday (UTC), with everything since the previous file; None if the file already exists.

    The first file names every chain. Safe to repeat: yes, also concurrently: a file gets its name once it is complete.
    Raises: AnchorError, and as `signing_key`.
    """
    day = (conf.now().astimezone(UTC) - _AFTER_MIDNIGHT).date() - timedelta(days=1)
    path = directory / f"feexpay-audit-{day}.txt"
    try:
        if path.exists():
            return None
        files = _files_in(directory)
        earlier = [name for name in files if name.name < path.name]
        if len(earlier) < len(files):
            raise AnchorError(f"{directory} has an anchor of a day after {day}: is the clock right?")
        if not earlier and older_rows.exist():  # no later file would name their ends
            raise AnchorError("an earlier release wrote rows that are in no chain: run feexpay_chain_history first")
        _write_whole(path, _text(day, read_head(earlier[-1]) if earlier else None))
    except OSError as error:
        raise AnchorError(f"{error.filename or path}: {error.strerror}") from None
    return path


def _text(day: date, before: AnchorFile | None) -> Iterator[bytes]:
    """The lines of a file. The last one signs all lines before it."""
    until = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    since = datetime.combine(before.day + timedelta(days=1), datetime.min.time(), UTC) - _OVERLAP if before else None
    key = signing_key()
    signature, count = hmac.new(key.anchors, digestmod="sha256"), 0
    head = (
        _FORMAT,
        f"day {day}",
        f"since {since.isoformat() if since else 'the beginning'}",
        f"previous {f'{before.path.name} {before.digest}' if before else ''}".rstrip(),
    )
    for line in _lines(head, since, until):
        signature.update(line)
        yield line
        count += 1
    last = f"rows {count - len(head)}\n".encode()
    signature.update(last)
    yield last
    yield f"signature {key.id} {signature.hexdigest()}\n".encode()


def _lines(head: Sequence[str], since: datetime | None, until: datetime) -> Iterator[bytes]:
    """The lines before the signature: the ends of the chains as they are now, even of those that grew after `until`."""
    for text in head:
        yield f"{text}\n".encode()
    ends = Payment.objects.order_by("pk").exclude(event_count=0).values_list("pk", "event_count", "chain_hash")
    for page in verification.pages_of_payments() if since is None else _pages_of_changed(since, until):
        for payment, position, row_hash in ends.filter(pk__in=page):
            yield f"payment {payment} {position} {row_hash}\n".encode()
    for end in StaffChain.objects.order_by("pk"):
        yield f"staff {json.dumps(end.actor)} {end.action_count} {end.chain_hash}\n".encode()


def _pages_of_changed(since: datetime, until: datetime) -> Iterator[list[UUID]]:
    """The primary keys of the payments with an event in this period, each once. It keeps about 100 bytes for each."""
    seen: set[UUID] = set()
    within = PaymentEvent.objects.filter(created_at__lt=until).order_by("created_at", "id")
    columns = within.values_list("payment_id", "created_at", "id")
    page = list(columns.filter(created_at__gte=since)[: verification.PAGE])
    while page:
        new = {payment for payment, _at, _pk in page} - seen
        seen |= new
        yield sorted(new)
        _payment, at, pk = page[-1]
        after = Q(created_at__gt=at) | Q(created_at=at, id__gt=pk)
        # The second condition lets an index start there.
        page = list(columns.filter(after, created_at__gte=at)[: verification.PAGE])


def _write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that only its owner and group can read, and rename it once it is safely on the disk."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


# --- reading -----------------------------------------------------------------------------------------


def files_of(path: Path) -> list[Path]:
    """The anchor files that a path names: one file, or those in a directory, oldest first. Raises: AnchorError."""
    if path.is_file():
        return [path]
    files = _files_in(path) if path.is_dir() else []
    if not files:
        raise AnchorError(f"{path}: no anchor file is there")
    return files


def newest_day(directory: Path) -> date | None:
    """The day of the newest anchor file in a directory; None without one, or if it cannot be read."""
    try:
        files = _files_in(directory)
    except OSError:
        return None
    named = _NAME.fullmatch(files[-1].name) if files else None
    return date.fromisoformat(named[1]) if named else None


def _files_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def read_head(path: Path) -> AnchorFile:
    """What the file says about itself, with the digest of its bytes. Raises: AnchorError, OSError."""
    with path.open("rb") as file:
        lines = [line.decode(errors="replace").rstrip("\n") for line in islice(file, 4)]
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        words, day, since, previous = lines
        if words != _FORMAT:
            raise ValueError(words)
        parsed = date.fromisoformat(day.removeprefix("day "))
    except ValueError:
        raise AnchorError(f"{path}: not an anchor file of this release") from None
    return AnchorFile(path, parsed, since.removeprefix("since "), previous.removeprefix("previous").strip(), digest)


def breaks_of(files: Sequence[Path]) -> Iterator[ChainBreak]:
    """Yield what these files name and the database lacks, and what is wrong with the files.

    Raises: AnchorError, OSError.
    """
    before: AnchorFile | None = None
    for path in files:
        head = read_head(path)
        if before is not None and head.previous != f"{before.path.name} {before.digest}":
            yield ChainBreak(
                "anchors", path.name, f"it does not follow {before.path.name}: a file is missing or changed"
            )
        with path.open("rb") as file:
            yield from _problem_of_signature(path, file)
            file.seek(0)
            yield from _missing_rows(path.name, file)
        before = head


def _problem_of_signature(path: Path, file: IO[bytes]) -> Iterator[ChainBreak]:
    """Whether one of our keys signed all lines of the file. Reads it line by line."""
    signatures = {key_id: hmac.new(key.anchors, digestmod="sha256") for key_id, key in known_keys().items()}
    last = b""
    for line in file:
        for signature in signatures.values():
            signature.update(last)
        last = line
    word, key_id, hex_digest, *_ = [*last.decode(errors="replace").split(), "", "", ""]
    if word != "signature":
        yield ChainBreak("anchors", path.name, "it has no signature: the file is not whole")
    elif key_id not in signatures:
        yield ChainBreak("anchors", path.name, f"AUDIT_KEYS has no key {key_id}: the file cannot be proved")
    elif not hmac.compare_digest(signatures[key_id].hexdigest(), hex_digest):
        yield ChainBreak("anchors", path.name, "its signature does not fit: the file was changed")


def _missing_rows(name: str, file: Iterable[bytes]) -> Iterator[ChainBreak]:
    rows = (row for line in file if (row := _row_of(line.decode(errors="replace"))))
    while page := list(islice(rows, verification.PAGE)):
        yield from _missing_events(name, {UUID(row[1]): row for row in page if row[0] == "payment"})
        yield from _missing_actions(name, [row for row in page if row[0] == "staff"])


def _row_of(line: str) -> list[str]:
    """The kind, id, position and hash in a line about a chain; [] for any other line. An actor's id may have spaces."""
    word, _space, rest = line.strip().partition(" ")
    parts = rest.rsplit(" ", 2) if word == "staff" else rest.split()
    return [word, *parts] if word in ("payment", "staff") and len(parts) == 3 else []


def _missing_events(name: str, rows: dict[UUID, list[str]]) -> Iterator[ChainBreak]:
    """Compare the payments of one page of lines with the database."""
    if not rows:
        return
    there = set(Payment.objects.filter(pk__in=rows).values_list("pk", flat=True))
    places = {int(row[2]) for row in rows.values()}
    events = PaymentEvent.objects.filter(payment__in=rows, position__in=places)
    hashes = {(payment, place): found for payment, place, found in events.values_list("payment_id", "position", "hash")}
    for pk, (_word, _pk, place, anchored) in rows.items():
        found = hashes.get((pk, int(place)))
        if pk not in there:
            yield ChainBreak(f"payment {pk}", "", f"it is gone: {name} names its event number {place}")
        elif found is None:
            yield ChainBreak(f"payment {pk}", "", f"its event number {place} is gone: {name} names it")
        elif not hmac.compare_digest(found, anchored):
            yield ChainBreak(f"payment {pk}", "", f"its event number {place} is another one than {name} names")


def _missing_actions(name: str, rows: Sequence[list[str]]) -> Iterator[ChainBreak]:
    for _word, quoted, place, anchored in rows:
        actor = json.loads(quoted)
        found = older_rows.actions_of(actor).filter(position=int(place)).values_list("hash", flat=True).first()
        about = older_rows.name_of_actions(actor)
        if found is None:
            yield ChainBreak(about, "", f"its action number {place} is gone: {name} names it")
        elif not hmac.compare_digest(found, anchored):
            yield ChainBreak(about, "", f"its action number {place} is another one than {name} names")
