"""The open payment on disk, so that one press makes one charge even after a crash.

One file per server and account. It holds at most one intent: its key and, until the server has received it, its body.
A one-time code is never stored.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feexpay_client.core.disk import set_aside, write_whole
from feexpay_client.core.errors import MalformedAnswer
from feexpay_client.core.filelock import FileLock
from feexpay_client.core.json_reader import Fields
from feexpay_client.core.models import Payment
from feexpay_client.core.states import INITIATE, Intent, Record

SCHEMA = 1


class JournalError(Exception):
    """The journal could not be written, so nothing may be sent. `code`: `disk`, `busy` or `newer`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Loaded:
    """The content found. `damaged`: the file is unreadable. `other_window`: another process holds the lock; retry.

    A damaged file stays until the next save, so that another start also finds it; then it is renamed.
    """

    record: Record | None = None
    damaged: bool = False
    other_window: bool = False


class Journal:
    """Blocking. A lock makes its methods run one at a time."""

    def __init__(self, folder: Path, server: str, account: str) -> None:
        name = hashlib.sha256(f"{server}\n{account}".encode()).hexdigest()[:20]
        self.path = folder / f"journal-{name}.json"
        self._lock = FileLock(folder / f"journal-{name}.lock")
        self._newer = False
        self._guard = threading.Lock()

    def load(self) -> Loaded:
        """Read the open intent, unless another process holds the file. Raises nothing: reports unreadable files.

        Safe to repeat: it succeeds once the other process has ended, because that frees the lock.
        """
        with self._guard:
            try:
                if not self._lock.acquire():
                    return Loaded(other_window=True)
                return self._read()
            except OSError:
                return Loaded(damaged=True)

    def save(self, record: Record) -> None:
        """Write the record atomically. Raises: JournalError; then the file is unchanged."""
        with self._guard:
            try:
                self._lock_for(record)
                if self._read().damaged:
                    set_aside(self.path)
                write_whole(self.path, _written(record))
            except OSError as error:
                raise JournalError("disk") from error

    def forget(self, key: str) -> None:
        """Delete the intent only if it has this key. An empty key deletes an unreadable file. Raises: JournalError."""
        with self._guard:
            try:
                if self._lock.held and not self._newer:
                    self._drop(key)
            except OSError as error:
                raise JournalError("disk") from error

    def close(self) -> None:
        """Release the lock for other processes. Safe to repeat."""
        self._lock.release()

    def _lock_for(self, record: Record) -> None:
        """Lock the file. Raises: JournalError for another window's payment or a newer version's file."""
        first = not self._lock.held
        if not self._lock.acquire():
            raise JournalError("busy")
        if first and self._holds_other_payment(record.intent.key):
            self._lock.release()
            raise JournalError("busy")
        if self._newer:
            raise JournalError("newer")

    def _holds_other_payment(self, key: str) -> bool:
        stored = self._read().record
        return stored is not None and stored.intent.key != key and not (stored.payment and stored.payment.settled)

    def _drop(self, key: str) -> None:
        stored = self._read()
        if stored.damaged and not key:
            set_aside(self.path)
        elif stored.record is not None and stored.record.intent.key == key:
            self.path.unlink()

    def _read(self) -> Loaded:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return Loaded()
        try:
            fields = Fields(json.loads(raw), "journal")
            self._newer = fields.integer("schema") > SCHEMA
            return Loaded() if self._newer else Loaded(_read(fields))
        except (ValueError, RecursionError, MalformedAnswer):
            return Loaded(damaged=True)


def _written(record: Record) -> bytes:
    intent = record.intent
    body = {name: value for name, value in intent.body.items() if name != "otp"}
    content = {
        "schema": SCHEMA,
        "intent": {
            "key": intent.key,
            "kind": intent.kind,
            "body": body,
            "begun_at": intent.begun_at,
            "payment_id": intent.payment_id,
            "attempt_count": intent.attempt_count,
            "may_have_left": intent.may_have_left,
            "withheld": intent.otp_removed or body != dict(intent.body),
        },
        "payment": None if record.payment is None else dict(record.payment.raw),
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _read(fields: Fields) -> Record:
    intent, payment = _read_intent(Fields(fields.object("intent"), "intent")), fields.maybe_object("payment")
    record = Record(intent, None if payment is None else Payment.from_json(payment))
    if record.payment is not None and intent.payment_id is None:
        return replace(record, intent=replace(intent, payment_id=record.payment.id))
    return record


def _read_intent(fields: Fields) -> Intent:
    body: Mapping[str, Any] = fields.object("body")
    kind, payment_id = fields.text("kind"), fields.maybe_text("payment_id")
    if kind != INITIATE and payment_id is None:
        raise MalformedAnswer(f"intent: {kind} without its payment")
    return Intent(
        key=fields.text("key"),
        kind=kind,
        body=body,
        begun_at=fields.number("begun_at"),
        payment_id=payment_id,
        attempt_count=fields.integer("attempt_count"),
        may_have_left=fields.flag("may_have_left"),
        otp_removed=fields.flag("withheld"),
    )
