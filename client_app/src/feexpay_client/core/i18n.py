"""Texts in the payer's language.

`locales/<part>.<language>.json` map `"screen.name"` to `"text with {placeholder}"`. Parts: `core` and `ui`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

LOCALES = Path(__file__).parent / "locales"


class Texts:
    """The texts of the current language. Call it to look up a text."""

    def __init__(self, language: str = "fr") -> None:
        self._listeners: list[Callable[[], None]] = []
        self._texts = load_texts(language)
        self.language = language

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key with its placeholders filled in. A missing key is returned as it is."""
        text = self._texts.get(key, key)
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        return key in self._texts

    def switch(self, language: str) -> None:
        if language == self.language:
            return
        self._texts = load_texts(language)
        self.language = language
        for listener in tuple(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change of language. Returns the unsubscribe function."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe


def load_texts(language: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted(LOCALES.glob(f"*.{language}.json")):
        texts |= json.loads(path.read_text(encoding="utf-8"))
    return texts
