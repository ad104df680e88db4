"""The payment on disk: whole or not there, never lost silently, and one process at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from feexpay_client.core import disk
from feexpay_client.core.journal import Journal, JournalError
from feexpay_client.core.models import Payment
from feexpay_client.core.states import FOLLOW, INITIATE, RETRY, Intent, Record

from tests.core import server

BODY = {"provider": "mtn_bj", "amount": 5000, "phone": "0197000050"}


def record(key: str = "key-1", **changes: object) -> Record:
    intent = Intent(**({"key": key, "kind": INITIATE, "body": BODY, "begun_at": 1.5} | changes))  # type: ignore[arg-type]
    return Record(intent)


def journal(folder: Path) -> Journal:
    return Journal(folder / "journal", "https://shop.test", "ama")


def test_what_was_saved_is_there_after_the_process_is_gone(tmp_path: Path) -> None:
    first = journal(tmp_path)
    assert first.load().record is None
    first.save(record(may_have_left=False))
    first.close()

    assert journal(tmp_path).load().record == record(may_have_left=False)


def test_a_payment_comes_back_as_it_was_seen(tmp_path: Path) -> None:
    payment = Payment.from_json(server.payment("failed", "declined"))
    saved = Record(Intent("k", FOLLOW, {}, 2.0, payment.id), payment)
    first = journal(tmp_path)
    first.save(saved)
    first.close()

    assert journal(tmp_path).load().record == saved


def test_a_one_time_code_never_goes_to_disk(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.save(record(body=BODY | {"otp": "654321"}))
    assert "654321" not in first.path.read_text()
    first.close()

    loaded = journal(tmp_path).load().record
    assert loaded is not None
    assert loaded.intent.otp_removed
    assert dict(loaded.intent.body) == BODY


def test_file_and_folder_are_for_the_owners_eyes_only(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.save(record())

    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in first.path.parent.iterdir()) == [".json", ".lock"]


def test_accounts_do_not_share_a_journal(tmp_path: Path) -> None:
    journal(tmp_path).save(record())

    assert Journal(tmp_path / "journal", "https://shop.test", "kofi").load().record is None
    assert Journal(tmp_path / "journal", "https://other.test", "ama").load().record is None


def test_forgetting_takes_only_its_own_key(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.save(record("new"))
    kept.forget("old")
    assert kept.load().record == record("new")

    kept.forget("new")
    assert kept.load().record is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": "1", "intent": {}}',
        json.dumps({"schema": 1, "intent": {"key": 5}, "payment": None}).encode(),
        json.dumps(
            {
                "schema": 1,
                "intent": {
                    "key": "k", "kind": RETRY, "body": {}, "begun_at": 1, "payment_id": None,
                    "attempt_count": 0, "may_have_left": True, "withheld": False,
                },
                "payment": None,
            }
        ).encode(),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_set_aside_only_when_something_takes_its_place(
    tmp_path: Path, content: bytes
) -> None:
    first = journal(tmp_path)
    first.path.parent.mkdir(mode=0o700)
    first.path.write_bytes(content)
    assert first.load().damaged
    first.close()
    second = journal(tmp_path)
    assert second.load().damaged, "still, until the server was asked"

    second.save(record())
    assert second.load().record == record()
    aside = second.path.with_name(f"{second.path.name}.damaged-1")
    assert aside.read_bytes() == content


def test_after_the_server_was_asked_the_damage_is_over(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.path.parent.mkdir(mode=0o700)
    first.path.write_bytes(b"{")
    first.load()
    first.forget("some key")
    assert first.load().damaged
    first.forget("")

    assert not first.load().damaged


def test_a_newer_versions_journal_is_not_touched(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.path.parent.mkdir(mode=0o700)
    first.path.write_text('{"schema": 2, "wish": "unknown"}')
    assert first.load().record is None
    with pytest.raises(JournalError) as caught:
        first.save(record())
    first.forget("k")

    assert caught.value.code == "newer"
    assert first.path.read_text() == '{"schema": 2, "wish": "unknown"}'


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_disk_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    kept = journal(tmp_path)
    kept.save(record("first"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "replace":
        monkeypatch.setattr(Path, "replace", full)
    elif step == "open":
        monkeypatch.setattr(disk, "_write_flushed", full)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError) as caught:
        kept.save(record("second"))
    monkeypatch.undo()

    assert caught.value.code == "disk"
    assert kept.load().record == record("first")
    assert [path.name for path in kept.path.parent.iterdir() if path.name.startswith(".")] == []


def test_where_no_folder_can_be_made_nothing_is_saved(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file in the way")
    with pytest.raises(JournalError) as caught:
        journal(tmp_path).save(record())

    assert caught.value.code == "disk"


HOLDER = """
import sys
from pathlib import Path
from feexpay_client.core.journal import Journal
from feexpay_client.core.states import INITIATE, Intent, Record
journal = Journal(Path(sys.argv[1]) / "journal", "https://shop.test", "ama")
journal.load()
journal.save(Record(Intent("theirs", INITIATE, {}, 1.0)))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_window_follows_its_own_payment_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ours = journal(tmp_path)
        assert ours.load().record is None
        with pytest.raises(JournalError) as caught:
            ours.save(record("ours"))
        ours.forget("theirs")
        other.kill()
        other.wait()

    assert caught.value.code == "busy"
    # Its process is dead, its payment is not: it must be followed, not overwritten.
    with pytest.raises(JournalError):
        ours.save(record("ours"))
    following = journal(tmp_path).load().record
    assert following is not None
    assert following.intent.key == "theirs"


def test_names_of_damaged_files_never_collide(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "x.json"
        path.write_text(str(number))
        assert disk.set_aside(path) == tmp_path / f"x.json.damaged-{number + 1}"
    assert (tmp_path / "x.json.damaged-1").read_text() == "0"
    assert disk.set_aside(tmp_path / "not there") is None
