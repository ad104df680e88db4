"""A payer without JavaScript: opens pages, reads their forms and links, and sends the forms as a browser does."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from django.test import Client


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """What a browser sees of one page."""

    def __init__(self, response: Any, address: str) -> None:
        super().__init__()
        self.response, self.status, self.address = response, response.status_code, address
        self.html: str = response.content.decode()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.radios: list[str] = []
        self.text, self.heading = "", ""
        self._open: list[str] = []
        self._link = ""
        self.refresh = ""
        self.feed(self.html)
        self.text = " ".join(self.text.replace("\xa0", " ").split())
        self.heading = self.heading.strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in ("input", "meta", "link", "circle", "path", "rect", "br"):
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "input" and self.forms:
            self._input(given, self.forms[-1])
        elif tag == "button" and self.forms:
            self.forms[-1].buttons.append(given)
        elif tag == "a":
            self._link = given.get("href", "")
        elif tag == "meta" and given.get("http-equiv") == "refresh":
            self.refresh = given["content"]

    def _input(self, given: dict[str, str], form: Form) -> None:
        if given.get("type") == "radio":
            self.radios.append(given["value"])
            if "checked" not in given:
                return
        form.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag == "a":
            self._link = ""

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "title" in self._open:
            return
        self.text += f" {data}"
        if "h1" in self._open:
            self.heading += data
        if self._link:
            self.links[self._link] = self.links.get(self._link, "") + data.strip()


class Payer:
    """One browser: its cookies, its language, and the page it shows."""

    def __init__(self, language: str = "en") -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"Accept-Language": language, "Host": "localhost"})
        self.page: Page

    def open(self, address: str) -> Page:
        """GET an address and follow its redirects."""
        return self._show(self.client.get(address), address)

    def reload(self) -> Page:
        return self.open(self.page.address)

    def press(self, button: str = "", *, form: int = 0, **typed: str) -> Page:
        """Send a form of the page, with what the payer typed. `button`: the value of the pressed button."""
        sent = self.page.forms[form]
        fields = sent.fields | typed
        if button:
            fields |= {each["name"]: each["value"] for each in sent.buttons if each.get("value") == button}
        action = urljoin(self.page.address, sent.action)
        return self._show(self.client.post(action, fields), action)

    def _show(self, response: Any, address: str) -> Page:
        for _ in range(5):
            if response.status_code not in (301, 302, 303):
                break
            address = urljoin(address, response.headers["Location"])
            response = self.client.get(address)
        self.page = Page(response, address)
        return self.page
