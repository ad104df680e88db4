"""Every marked text has a French translation, and the compiled catalogue matches its source."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator

import pytest

from tests.repository.tree import ROOT, python_files

MARKS = {"_", "gettext", "gettext_lazy", "ngettext"}
TEMPLATE_TEXT = re.compile(r'{% translate "([^"]+)"')
PO_STRING = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
PO_ENTRY = re.compile(rf"^msgid {PO_STRING}(?:msgid_plural {PO_STRING})?msgstr(?:\[0\])? {PO_STRING}", re.MULTILINE)

#: Each folder of texts with its catalogue.
CATALOGUES = [("django_feexpay", "django_feexpay/locale"), ("sample_project/shop", "sample_project/shop/locale")]


def marked_texts(source: str) -> Iterator[str]:
    """The texts that Python source passes to gettext."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def texts_of(package: str) -> set[str]:
    code = {text for path in python_files(package) for text in marked_texts(path.read_text())}
    pages = (ROOT / package / "templates").rglob("*.html")
    return code | {text for page in pages for text in TEMPLATE_TEXT.findall(page.read_text())}


def compiled(folder: str) -> dict[str, str]:
    with (ROOT / folder / "fr/LC_MESSAGES/django.mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # no public way to list it
    singular = {key[0]: text for key, text in catalogue.items() if isinstance(key, tuple) and key[1] == 0}
    return {key: text for key, text in catalogue.items() if isinstance(key, str) and key} | singular


def po_entries(folder: str) -> dict[str, str]:
    source = (ROOT / folder / "fr/LC_MESSAGES/django.po").read_text()
    entries = ((unquoted(msgid), unquoted(msgstr)) for msgid, _, msgstr in PO_ENTRY.findall(source))
    return {msgid: msgstr for msgid, msgstr in entries if msgid}


def unquoted(strings: str) -> str:
    return "".join(ast.literal_eval(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', strings))


def test_marked_texts_are_found_in_source() -> None:
    source = 'x = _("one")\ny = gettext_lazy("two" "!")\nz = ngettext("a", "b", n)\nprint("not marked")'

    assert list(marked_texts(source)) == ["one", "two!", "a"]


@pytest.mark.parametrize(("package", "folder"), CATALOGUES)
def test_every_marked_text_has_a_french_translation(package: str, folder: str) -> None:
    french = compiled(folder)

    assert sorted(text for text in texts_of(package) if not french.get(text)) == []


@pytest.mark.parametrize("folder", [folder for _, folder in CATALOGUES])
def test_compiled_catalogue_is_up_to_date(folder: str) -> None:
    french = compiled(folder)

    assert {msgid: french.get(msgid) for msgid in po_entries(folder)} == po_entries(folder)


@pytest.mark.parametrize("folder", [folder for _, folder in CATALOGUES])
def test_translation_has_the_placeholders_of_its_text(folder: str) -> None:
    placeholder = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w+\}")
    lost = [
        (msgid, msgstr)
        for msgid, msgstr in po_entries(folder).items()
        if sorted(placeholder.findall(msgid)) != sorted(placeholder.findall(msgstr))
    ]

    assert lost == []
