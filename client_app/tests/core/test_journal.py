"""The journal: atomic writes, damaged files, and the lock between processes."""

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

from tests.core import fake_server

BODY = {"provider": "mtn_bj", "amount": 5000, "phone": "0197000050"}


def record(key: str = "key-1", **changes: object) -> Record:
    intent = Intent(**({"key": key, "kind": INITIATE, "body": BODY, "begun_at": 1.5} | changes))  # type: ignore[arg-type]
    return Record(intent)


def journal(folder: Path) -> Journal:
    return Journal(folder / "journal", "https://shop.test", "ama")


def test_saved_intent_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    first = journal(tmp_path)
    assert first.load().record is None
    first.save(record(may_have_left=False))
    first.close()

    assert journal(tmp_path).load().record == record(may_have_left=False)


def test_saved_payment_is_loaded_unchanged(tmp_path: Path) -> None:
    payment = Payment.from_json(fake_server.payment("failed", "declined"))
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


def test_file_and_folder_are_readable_only_by_the_owner(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.save(record())

    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in first.path.parent.iterdir()) == [".json", ".lock"]


def test_accounts_do_not_share_a_journal(tmp_path: Path) -> None:
    journal(tmp_path).save(record())

    assert Journal(tmp_path / "journal", "https://shop.test", "kofi").load().record is None
    assert Journal(tmp_path / "journal", "https://other.test", "ama").load().record is None


def test_forget_deletes_only_its_own_key(tmp_path: Path) -> None:
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
def test_unreadable_file_is_reported_and_renamed_only_at_the_next_save(tmp_path: Path, content: bytes) -> None:
    first = journal(tmp_path)
    first.path.parent.mkdir(mode=0o700)
    first.path.write_bytes(content)
    assert first.load().damaged
    first.close()
    second = journal(tmp_path)
    assert second.load().damaged, "still damaged until the next save"

    second.save(record())
    assert second.load().record == record()
    aside = second.path.with_name(f"{second.path.name}.damaged-1")
    assert aside.read_bytes() == content


def test_forget_with_an_empty_key_ends_the_damage(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.path.parent.mkdir(mode=0o700)
    first.path.write_bytes(b"{")
    first.load()
    first.forget("some key")
    assert first.load().damaged
    first.forget("")

    assert not first.load().damaged


def test_journal_of_a_newer_version_is_not_changed(tmp_path: Path) -> None:
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
def test_failing_disk_leaves_the_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
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


def test_save_fails_if_the_folder_cannot_be_created(tmp_path: Path) -> None:
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


def test_second_process_cannot_overwrite_the_payment_of_the_first(tmp_path: Path) -> None:
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
    # The other process is dead, but its payment is open: load it, do not overwrite it.
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
