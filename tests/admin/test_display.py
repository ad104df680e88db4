"""Badges of statuses: a text and a colour with enough contrast."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders

from django_feexpay.admin.display import BADGES, Tone, amount, json_block, status_badge
from django_feexpay.lifecycle import Status


def colours() -> dict[str, tuple[str, str]]:
    """Each tone's ground and ink, as the stylesheet has them."""
    path = finders.find("feexpay/admin.css")
    assert isinstance(path, str)
    with open(path) as stylesheet:
        rules = re.findall(r"\.feexpay-badge--(\w+) \{ background: (#\w{6}); color: (#\w{6}); \}", stylesheet.read())
    return {tone: (ground, ink) for tone, ground, ink in rules}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_status_has_its_own_badge() -> None:
    assert set(BADGES) == set(Status)
    assert len({str(badge.text) for badge in BADGES.values()}) == len(Status)


def test_every_tone_has_colours() -> None:
    assert set(colours()) == {tone.value for tone in Tone}


def test_contrast_is_measured_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("tone", [tone.value for tone in Tone])
def test_badge_text_has_enough_contrast(tone: str) -> None:
    assert contrast(*colours()[tone]) >= 4.5


def test_badge_shows_the_text_and_the_tone() -> None:
    assert status_badge("successful") == '<span class="feexpay-badge feexpay-badge--good">Successful</span>'


def test_badge_of_no_status_is_a_dash() -> None:
    assert status_badge("") == "<span>–</span>"


def test_amount_is_shown_with_its_currency() -> None:
    assert amount(1250000, "XOF") == '<span class="feexpay-line">1\u00a0250\u00a0000\u00a0F\u00a0CFA</span>'


def test_json_is_escaped_and_keeps_its_letters() -> None:
    assert json_block({"<b>": "é"}) == '<pre class="feexpay-json">{\n  &quot;&lt;b&gt;&quot;: &quot;é&quot;\n}</pre>'


def test_empty_json_is_a_dash() -> None:
    assert json_block({}) == "–"
