"""The reference pages list every command and signal, and no other."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command, load_command_class
from django.dispatch import Signal

from django_feexpay import signals
from tests.repository.tree import ROOT

FOLDERS = {
    "django_feexpay": ROOT / "django_feexpay/management/commands",
    "shop": ROOT / "sample_project/shop/management/commands",
}
COMMANDS = {path.stem: app for app, folder in FOLDERS.items() for path in folder.glob("feexpay_*.py")}


def first_column(page: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference" / page).read_text(), re.MULTILINE)


def test_every_command_has_a_row() -> None:
    assert sorted(first_column("commands.md")) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_help_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = load_command_class(COMMANDS[name], name)
    parser = command.create_parser("manage.py", name)
    ours = [action for action in parser._actions if action.dest not in command.base_stealth_options]

    with pytest.raises(SystemExit) as ended:
        call_command(name, "--help")

    assert ended.value.code == 0
    assert len(command.help) > 40
    assert name in capsys.readouterr().out
    assert ours


def test_every_signal_has_a_row_with_when_it_is_sent_and_when_not() -> None:
    names = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \| (.+) \|$", (ROOT / "docs/reference/signals.md").read_text(), re.MULTILINE
    )

    assert [name for name, _when, _not_when in rows] == names
    assert all(when.strip() and not_when.strip() for _name, when, not_when in rows)
