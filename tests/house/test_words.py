"""One word per thing: the names in the rooms that decide about money use the words of the glossary.

`FORBIDDEN` is the list: a word on the left stands in for the word on the right. A name is judged by its
parts (`try_count` is `try` and `count`); arguments and local variables are not judged.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, defined_names, python_files, relative, setting_names

FORBIDDEN = {
    "network": "provider",
    "operator": "provider",
    "reseau": "provider",
    "transaction": "payment",
    "try": "attempt",
    "tries": "attempt",
    "call": "attempt",
    "calls": "attempt",
    "customer": "payer",
    "client": "payer",
    "phone": "msisdn",
    "number": "msisdn",
    "ref": "merchant_reference",
    "custom": "merchant_reference",
    "token": "idempotency_key",
    "callback": "webhook",
    "ipn": "webhook",
    "response": "report",
    "data": "report",
    "result": "report",
    "results": "report",
    "sync": "reconcile",
    "process": "reconcile or settle",
    "handle": "settle",
    "paid": "credit",
    "job": "due",
    "mock": "sandbox",
    "fake": "sandbox",
}
# Whole names that hold such a part and mean something else. Each with its reason.
EXCEPTIONS = {
    "NOT_PAID": "a decision that the interface fixes: a person says that nothing was taken",
    "phone": "the public argument of an order, in any usual writing; a msisdn is what comes out of it",
    "prompts_per_phone": "the public name of a setting, which hosts read; see PROMPTS_PER_PHONE",
    "PROMPTS_PER_PHONE": "the setting: how often a phone may be asked to pay",
    "sync_with_catalogue": "Provider rows are synced with the catalogue; no payment is reconciled by it",
}
WHOLE_NAMES_FORBIDDEN = {"set_status": "move"}


def words(name: str) -> list[str]:
    """`PaymentEvent`, `payment_event` and `PAYMENT_EVENT` are all payment, event."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def complaint(name: str) -> str:
    """What is wrong with a name, or nothing."""
    if name in EXCEPTIONS:
        return ""
    if better := WHOLE_NAMES_FORBIDDEN.get(name):
        return f"{name}: say {better}"
    return "; ".join(f"{name}: say {FORBIDDEN[word]}" for word in words(name) if word in FORBIDDEN)


def judged_files() -> list[Path]:
    return [
        *python_files("django_feexpay/payments", "django_feexpay/models"),
        ROOT / "django_feexpay/conf.py",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("class Transaction: ...", "Transaction: say payment", id="model"),
        pytest.param("class Attempt:\n    phone_hash = 1", "phone_hash: say msisdn", id="field"),
        pytest.param("class Attempt:\n    try_count: int = 0", "try_count: say attempt", id="typed field"),
        pytest.param("def handle_report(): ...", "handle_report: say settle", id="function"),
        pytest.param("class A:\n    def _set(self): ...\n    def set_status(self): ...", "set_status: say move"),
    ],
)
def test_word_check_sees_models_fields_and_functions(source: str, expected: str) -> None:
    assert [complaint(name) for _, name in defined_names(source) if complaint(name)] == [expected]


def test_word_check_sees_settings() -> None:
    names = setting_names('DEFAULTS: Mapping[str, Any] = {"API_KEY": "", "CALLBACK_SECRET": ""}')

    assert [complaint(name) for name in names] == ["", "CALLBACK_SECRET: say webhook"]


@pytest.mark.parametrize("name", ["retry", "calling_code", "metadata", "masked_msisdn", "gateway_reference"])
def test_word_check_judges_whole_parts_only(name: str) -> None:
    assert complaint(name) == ""


def test_names_of_money_rooms_use_the_words_of_the_glossary() -> None:
    complaints = [
        f"{relative(path)}:{line} {complaint(name)}"
        for path in judged_files()
        for line, name in defined_names(path.read_text())
        if complaint(name)
    ]

    assert complaints == []


def test_setting_names_use_the_words_of_the_glossary() -> None:
    names = setting_names((ROOT / "django_feexpay/conf.py").read_text())

    assert [complaint(name) for name in names if complaint(name)] == []
    assert "API_KEY" in names
