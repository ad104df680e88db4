"""An app of the example brand, drawn: its name, colours, logo, words and server, and nothing of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from feexpay_client.core.brand import load_brand
from feexpay_client.core.models import Credentials
from feexpay_client.core.tokens import TokenStore
from feexpay_client.main import app_of
from feexpay_client.ui.theme import LIGHT, Theme
from feexpay_client.ui.theme import theme as shown_theme
from kivy.uix.image import Image

from tests.ui.app import MemoryVault
from tests.ui.driver import Driver
from tests.ui.fake_shop import FakeShop

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "brand" / "brand.toml"


@pytest.fixture(autouse=True)
def _own_theme_again() -> Iterator[None]:
    yield
    shown_theme.use(Theme())


def _pixels(picture: object, color: str) -> int:
    wanted = tuple(int(color[at : at + 2], 16) for at in (1, 3, 5))
    return sum(count for count, pixel in picture.getcolors(1_000_000) if pixel[:3] == wanted)


async def test_app_of_a_brand_shows_its_name_colours_words_and_server(
    tmp_path: Path, shop: FakeShop, drive: Callable[..., Driver]
) -> None:
    brand, vault = load_brand(EXAMPLE), MemoryVault()
    tokens = TokenStore(lambda: vault)
    app = app_of(brand, tmp_path, tokens, transport=httpx.MockTransport(shop))
    driver = drive(app)
    await driver.until(lambda: app.showing == "signin")

    assert app.title == "Awa Games"
    assert app.icon == brand.theme.logo
    assert driver.shows("Les jeux d'Awa")
    assert driver.shows("Connectez-vous pour acheter des pièces."), "the brand's own words"
    assert driver.shows("Créer un compte")
    assert not driver.shows("Serveur"), "there is one server, so the player does not type it"
    assert [image.source for image in driver.visible(Image)] == [brand.theme.logo]
    picture = driver.picture()
    assert _pixels(picture, brand.theme.light["primary"]) > 5000, "the button"
    assert _pixels(picture, LIGHT["primary"]) == 0

    app.signin.username, app.signin.password = "awa", "secret"
    app.signin.sign_in()
    await driver.until(lambda: app.showing == "home" and app.home.packs)
    assert {request.url.host for request in shop.requests} == {"pay.awa.example"}
    assert any(request.url.path == brand.shop_paths.goods for request in shop.requests)
    assert _pixels(driver.picture(), brand.theme.light["hero"]) > 5000
    app.go("settings")
    await driver.settle()
    assert driver.shows("pay.awa.example")


async def test_brand_of_one_language_offers_no_choice(
    tmp_path: Path, shop: FakeShop, drive: Callable[..., Driver]
) -> None:
    (tmp_path / "logo.png").write_bytes((EXAMPLE.parent / "logo.png").read_bytes())
    text = EXAMPLE.read_text(encoding="utf-8").replace('["fr", "en"]', '["en"]')
    (tmp_path / "brand.toml").write_text(text, encoding="utf-8")
    brand, vault = load_brand(tmp_path / "brand.toml"), MemoryVault()
    tokens = TokenStore(lambda: vault)
    await tokens.save(brand.server, Credentials("awa", "t" * 40, None))
    app = app_of(brand, tmp_path, tokens, transport=httpx.MockTransport(shop))
    driver = drive(app)
    await driver.until(lambda: app.showing == "home")
    app.go("settings")
    await driver.settle()

    assert driver.shows("Settings")
    assert not driver.shows("English")
    assert not driver.shows("Français")
