"""The page of the providers matches the catalogue."""

from __future__ import annotations

from tools import providers_page


def test_page_is_up_to_date() -> None:
    written = providers_page.PAGE.read_text(encoding="utf-8")

    assert written == providers_page.page(), "run: python -m tools.providers_page"


def test_page_lists_every_provider_once_in_the_right_table() -> None:
    served, unserved = providers_page.page().split("## Not served")

    assert served.count("| `mtn_bj` | MTN") == 1
    assert "`visa`" in served
    assert "`mtn_cm`" in unserved
    assert "Ce service ne fonctionne pas au Cameroun." in unserved
