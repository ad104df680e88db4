from __future__ import annotations

import pytest
from feexpay_client.ui.theme import DARK, LIGHT, READABLE, badge_background, contrast


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("ink", "background"), READABLE)
def test_text_has_enough_contrast(mode: str, ink: str, background: str) -> None:
    colors = {"light": LIGHT, "dark": DARK}[mode]

    assert contrast(colors[ink], colors[background]) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("background", ["background", "surface"])
def test_focus_ring_has_enough_contrast(mode: str, background: str) -> None:
    colors = {"light": LIGHT, "dark": DARK}[mode]

    assert contrast(colors["focus"], colors[background]) >= 3


def test_contrast_follows_wcag() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


def test_both_modes_have_the_same_tokens() -> None:
    assert set(LIGHT) == set(DARK)


@pytest.mark.parametrize("color", ["#FFCB05", "#1DC8FF", "#FF7900", "#1A1F71", "#FFFFFF", "#000000", "", "red", "#12"])
def test_badge_text_is_readable_for_any_colour(color: str) -> None:
    background = badge_background(color, "some_provider")

    assert contrast(background, (1, 1, 1)) >= 4.5
    assert background == badge_background(color, "some_provider")


def test_badge_without_colour_depends_on_the_provider() -> None:
    assert badge_background("", "mtn_bj") != badge_background("", "moov_tg")
