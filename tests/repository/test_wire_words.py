"""FeexPay's field names occur only in gateway/, sandbox/ and testing/; elsewhere not even in comments."""

from __future__ import annotations

import re

import pytest

from tests.repository.tree import relative, text_files

WIRE_WORDS = re.compile(r"reseau|phoneNumber|requesttopay|callback_info")
PACKAGES_ON_THE_WIRE = ("django_feexpay/gateway/", "django_feexpay/sandbox/", "django_feexpay/testing/")


def wire_words(text: str) -> list[str]:
    return [f"{text.count(chr(10), 0, found.start()) + 1}: {found[0]}" for found in WIRE_WORDS.finditer(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('body["reseau"]', ["1: reseau"]),
        ("\n# their phoneNumber", ["2: phoneNumber"]),
        ('"""x\n\nsee requesttopay"""', ["3: requesttopay"]),
    ],
)
def test_wire_word_check_reads_code_comments_and_docstrings(text: str, expected: list[str]) -> None:
    assert wire_words(text) == expected


@pytest.mark.parametrize("folder", ["django_feexpay", "sample_project", "client_app"])
def test_wire_words_are_used_only_in_packages_on_the_wire(folder: str) -> None:
    found = {
        relative(path): wire_words(path.read_text())
        for path in text_files(folder)
        if not relative(path).startswith(PACKAGES_ON_THE_WIRE)
    }

    assert {path: words for path, words in found.items() if words} == {}
