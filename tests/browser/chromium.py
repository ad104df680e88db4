"""A headless Chromium that opens pages as a person does, and counts the clicks."""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import axe_core_python
import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")

PASSWORD = "correct horse battery"
PHONE, DESKTOP = (390, 844), (1280, 800)

#: Long, because a busy machine may take ten seconds for a page. A page that comes earlier ends the wait.
_WAIT_SECONDS = 60
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
#: The browser loads nothing but our pages, and works as root and in a container.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    *("--force-device-scale-factor=1", "--accept-lang=en-US", "--no-proxy-server"),
)
#: The first visible element of a selector that shows a text. One call, because a live page may replace its parts
#: between two.
_SHOWN = """
const plain = (text) => text.replace(/\\s+/g, " ").toLowerCase();
const seen = (element) => element.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && element.getBoundingClientRect().width > 0;
const [css, text, part] = arguments;
const shows = (element) => seen(element) && plain(element.innerText ?? element.textContent).includes(plain(text));
const found = [...document.querySelectorAll(css)].find(shows);
"""
_ELEMENT = f"{_SHOWN} return (part ? found?.querySelector(part) : found) ?? null;"
_IS_THERE = f"{_SHOWN} return found !== undefined;"
_GROUND = f"{_SHOWN} return found ? getComputedStyle(found).backgroundColor : null;"
#: What the driver says, besides "stale element", if the page replaced an element while it was read.
_REPLACED = "Node with given id does not belong to the document"
_AXE = Path(axe_core_python.__file__).with_name("axe.min.js").read_text("utf-8")
#: In one call, because a page that follows a payment may load again between two.
_BARRIERS = f"{_AXE}; axe.run().then((found) => arguments[0](found.violations));"
#: White around the element of a picture.
_MARGIN = 4
_BOX = f"""{_SHOWN}
const box = found?.getBoundingClientRect();
return found ? [box.x + scrollX, box.y + scrollY, box.width, box.height] : null;
"""
#: The boxes with more in them than they show at once: the page itself, and tables that scroll sideways.
_CUT_OFF = """
const parts = "#main *:not(pre, code, input, select, textarea)";
const boxes = [document.documentElement, ...document.querySelectorAll(parts)];
const scrolls = (box) => box === document.documentElement || /auto|scroll/.test(getComputedStyle(box).overflowX);
return boxes.filter((box) => scrolls(box) && box.scrollWidth > box.clientWidth)
    .map((box) => `${box.tagName} ${box.id || box.className}: ${box.scrollWidth} of ${box.clientWidth} px`);
"""


def programs() -> tuple[str, str] | None:
    """Paths of Chromium and of its driver; None if one is not installed."""
    browser = next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window. `clicks`: links and buttons that were clicked since `open`. `downloads`: where files arrive."""

    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        self.site = ""
        self.clicks = 0

    # --- what a person does --------------------------------------------------------------------------

    def open(self, path: str) -> None:
        """Open a page by its address, as from a bookmark."""
        self.driver.get(f"{self.site}{path}")
        self.clicks = 0

    def enter(self, session: str) -> None:
        """Be signed in by a session that exists, without the form."""
        self.driver.add_cookie({"name": "sessionid", "value": session})

    def sign_in(self, username: str, path: str, password: str = PASSWORD) -> None:
        """Open a page as nobody, and sign in by the form that stands in its place."""
        self.driver.delete_all_cookies()
        self.open(path)
        self.fill("username", username)
        self.fill("password", password)
        self.go("#login-form [type=submit]")
        self.clicks = 0

    def click(self, css: str, text: str = "") -> None:
        """Click the first visible element that `css` selects and that shows `text`. The page stays."""
        self._press(css, text)

    def go(self, css: str, text: str = "") -> None:
        """Click a link or a button, and wait until another page stands in the place of this one."""
        self._leave(self._press(css, text))

    def open_row(self, text: str) -> None:
        """Click the link of the row of a list that shows `text`."""
        self._leave(self._press("#result_list tbody tr", text, "th a"))

    def fill(self, name: str, value: str) -> None:
        """Write into the field of this name, or choose the option of a list that shows `value`."""
        css = f"[name={name}]"

        def write() -> bool:
            element = self.find(css)
            if element.tag_name == "select":
                Select(element).select_by_visible_text(value)
            else:
                element.clear()
                element.send_keys(value)
            return True

        self._wait(write, css, "")

    # --- what a person sees --------------------------------------------------------------------------

    def find(self, css: str, text: str = "") -> WebElement:
        """Wait for a visible element. Raises: TimeoutException, with the page's address, if there is none."""
        return self._wait(lambda: self._shown(css, text), css, text)

    def has(self, css: str, text: str = "") -> bool:
        """Whether the page shows such an element now."""
        there: bool = self.driver.execute_script(_IS_THERE, css, text)
        return there

    def text(self, css: str = "#main, #container") -> str:
        """The text of an element as it is shown, with usual spaces."""
        return self._text(css, "").replace("\N{NARROW NO-BREAK SPACE}", " ")

    def row(self, text: str, css: str = "#result_list") -> str:
        """The text of the row, in tables that `css` selects, that shows `text`."""
        return self._text(f"{css} tbody tr", text)

    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.site)

    def errors(self) -> list[str]:
        """What the console reported since the last call: blocked styles and scripts, missing files, exceptions.

        Without the icon of a site, which the browser asks for by itself and the sample has none.
        """
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "/favicon.ico " not in message]

    def cut_off(self) -> list[str]:
        """The parts of the page that a person must scroll sideways to read; source texts may scroll."""
        found: list[str] = self.driver.execute_script(_CUT_OFF)
        return found

    def barriers(self) -> list[tuple[str, str]]:
        """What axe finds on the page: the name of the rule, and the element that breaks it."""
        broken = self.driver.execute_async_script(_BARRIERS)
        return [(rule["id"], node["html"]) for rule in broken for node in rule["nodes"]]

    def brightness(self, css: str) -> float:
        """The ground of an element: 0 is black, 1 is white."""
        ground: str = self._wait(lambda: self.driver.execute_script(_GROUND, css, ""), css, "")
        red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", ground)[:3])
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    # --- the window ----------------------------------------------------------------------------------

    def look(self, *, size: tuple[int, int] = DESKTOP, theme: str = "light", language: str = "en") -> None:
        """Size of the window, colours that the system prefers, language of the pages (after a page is open)."""
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self._command("Emulation.setEmulatedMedia", {"features": features})
        self.driver.add_cookie({"name": "django_language", "value": language})

    def picture(self, path: Path, css: str, height: int) -> None:
        """Write the upper part of an element as PNG, also where it is below the window. Changes: the file."""
        self.driver.execute_script("document.activeElement.blur()")
        left, top, width, tall = self._wait(lambda: self.driver.execute_script(_BOX, css, ""), css, "")
        clip = {
            "x": max(0, left - _MARGIN),
            "y": max(0, top - _MARGIN),
            "width": width + 2 * _MARGIN,
            "height": min(tall, height) + 2 * _MARGIN,
            "scale": 1,
        }
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def _press(self, css: str, text: str, part: str = "") -> WebElement:
        def press() -> WebElement | None:
            if (element := self._shown(css, text, part)) is not None:
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
                element.click()
            return element

        pressed = self._wait(press, css, text)
        self.clicks += 1
        return pressed

    def _leave(self, element: WebElement) -> None:
        # The driver does not always wait: an answer that is slow to begin leaves it on the old page.
        wait = WebDriverWait(self.driver, _WAIT_SECONDS)
        wait.until(lambda _driver: self._read(element.is_enabled) is None, "the page did not change")

    def _text(self, css: str, text: str) -> str:
        def read() -> str | None:
            element = self._shown(css, text)
            return None if element is None else element.text

        return self._wait(read, css, text).replace("\N{NO-BREAK SPACE}", " ")

    def _wait(self, read: Callable[[], T | None], css: str, text: str) -> T:
        wait = WebDriverWait(self.driver, _WAIT_SECONDS)
        found = wait.until(lambda _driver: self._read(read), f"no {css} {text!r} on {self.driver.current_url}")
        assert found is not None
        return found

    def _command(self, name: str, values: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(name, values)

    def _shown(self, css: str, text: str, part: str = "") -> WebElement | None:
        found: WebElement | None = self._read(lambda: self.driver.execute_script(_ELEMENT, css, text, part))
        return found

    def _read(self, read: Callable[[], T]) -> T | None:
        """None if the page, or its script, replaced the element while it was read."""
        try:
            return read()
        except StaleElementReferenceException:
            return None
        except WebDriverException as error:
            if _REPLACED not in (error.msg or ""):
                raise
            return None


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """A new Chromium with its profile and its downloads in `folder`. Raises: LookupError if there is none."""
    found = programs()
    if found is None:
        raise LookupError("chromium, chromedriver")
    options = ChromeOptions()
    options.binary_location, driver_path = found
    downloads = folder / "downloads"
    downloads.mkdir()
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={DESKTOP[0]},{DESKTOP[1]}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(driver_path))
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Fails, and does not skip, without a Chromium: a run that shows no page proves nothing."""
    for name in ("SKIP_GUI", "SKIP_BROWSER"):
        if os.environ.get(name, "0") not in ("", "0"):
            pytest.skip(f"{name} is set")
    if programs() is None:
        pytest.fail(
            "These tests need Chromium. On Debian and Ubuntu, run: apt-get install chromium chromium-driver"
            " (make test SKIP_BROWSER=1 leaves them out)"
        )
    with started(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
