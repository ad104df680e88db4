"""Texts in the payer's language. `locales/<part>.<language>.json` are flat: `"screen.name": "text with {place}"`.

Parts: `core` (what the core says) and `ui` (what screens say); a test keeps languages, keys and places the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

LOCALES = Path(__file__).parent / "locales"


class Texts:
    """The texts of the language in force. Calling it looks one up; screens subscribe to be told of a change."""

    def __init__(self, language: str = "fr") -> None:
        self._listeners: list[Callable[[], None]] = []
        self._texts = catalogue(language)
        self.language = language

    def __call__(self, key: str, /, **places: object) -> str:
        """The text of a key, filled in. A key that is missing is shown as it is: seen, and no crash."""
        text = self._texts.get(key, key)
        return text.format(**places) if places else text

    def has(self, key: str) -> bool:
        return key in self._texts

    def switch(self, language: str) -> None:
        """Another language, at once."""
        if language == self.language:
            return
        self._texts = catalogue(language)
        self.language = language
        for listener in tuple(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change of language. Returns what ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe


def catalogue(language: str) -> dict[str, str]:
    """Every text of a language."""
    texts: dict[str, str] = {}
    for path in sorted(LOCALES.glob(f"*.{language}.json")):
        texts |= json.loads(path.read_text(encoding="utf-8"))
    return texts
