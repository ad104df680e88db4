"""Names in payments, models and conf use the domain words of the glossary.

`FORBIDDEN` maps each banned word to the word to use. A name is split into its parts (`callback_secret` is `callback`
and `secret`). Arguments and local variables are not checked. Technical words are free.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository.tree import ROOT, defined_names, python_files, relative, setting_names

FORBIDDEN = {
    "network": "provider",
    "transaction": "payment",
    "customer": "payer",
    "callback": "webhook",
    "ipn": "webhook",
}


def words(name: str) -> list[str]:
    """The parts of a name: `PaymentEvent`, `payment_event` and `PAYMENT_EVENT` are payment, event."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def naming_error(name: str) -> str:
    """The error text for a name, or "" if the name is allowed."""
    return "; ".join(f"{name}: say {FORBIDDEN[word]}" for word in words(name) if word in FORBIDDEN)


def checked_files() -> list[Path]:
    return [
        *python_files("django_feexpay/payments", "django_feexpay/models"),
        ROOT / "django_feexpay/conf.py",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("class Transaction: ...", "Transaction: say payment", id="model"),
        pytest.param("class Attempt:\n    network_code = 1", "network_code: say provider", id="field"),
        pytest.param("class Attempt:\n    customer_id: int = 0", "customer_id: say payer", id="typed field"),
        pytest.param("def on_ipn(): ...", "on_ipn: say webhook", id="function"),
        pytest.param("class A:\n    def _set(self): ...\n    def on_callback(self): ...", "on_callback: say webhook"),
    ],
)
def test_word_check_sees_models_fields_and_functions(source: str, expected: str) -> None:
    assert [naming_error(name) for _, name in defined_names(source) if naming_error(name)] == [expected]


def test_word_check_sees_settings() -> None:
    names = setting_names('DEFAULTS: Mapping[str, Any] = {"API_KEY": "", "CALLBACK_SECRET": ""}')

    assert [naming_error(name) for name in names] == ["", "CALLBACK_SECRET: say webhook"]


@pytest.mark.parametrize("name", ["callbacks_seen", "transactional"])
def test_word_check_compares_whole_parts_only(name: str) -> None:
    assert naming_error(name) == ""


@pytest.mark.parametrize("word", ["try", "call", "client", "response", "result", "token", "process", "handle", "data"])
def test_technical_words_are_free(word: str) -> None:
    assert naming_error(f"{word}_payment") == ""


def test_names_use_the_words_of_the_glossary() -> None:
    complaints = [
        f"{relative(path)}:{line} {naming_error(name)}"
        for path in checked_files()
        for line, name in defined_names(path.read_text())
        if naming_error(name)
    ]

    assert complaints == []


def test_setting_names_use_the_words_of_the_glossary() -> None:
    names = setting_names((ROOT / "django_feexpay/conf.py").read_text())

    assert [naming_error(name) for name in names if naming_error(name)] == []
    assert "API_KEY" in names
