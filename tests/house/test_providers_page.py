"""The page of the providers says what the catalogue says."""

from __future__ import annotations

from tools import providers_page


def test_page_is_what_the_catalogue_makes_today() -> None:
    written = providers_page.PAGE.read_text(encoding="utf-8")

    assert written == providers_page.page(), "run: python -m tools.providers_page"


def test_page_names_every_provider_once_where_it_belongs() -> None:
    served, unserved = providers_page.page().split("## Not served")

    assert served.count("| `mtn_bj` | MTN") == 1
    assert "`visa`" in served
    assert "`mtn_cm`" in unserved
    assert "FeexPay ne sert pas le Cameroun." in unserved
