"""Texts in the payer's language.

`locales/<part>.<language>.json` map `"screen.name"` to `"text with {placeholder}"`. Parts: `core` and `ui`. A host may
replace single texts and add languages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

LOCALES = Path(__file__).parent / "locales"
#: A language that the host added falls back to this one for the texts that it lacks.
FALLBACK = "en"


class Texts:
    """The texts of the current language. Call it to look up a text.

    replaced: language → key → text. A language that is not ours is added. Raises ValueError for a key we do not have.
    """

    def __init__(self, language: str = "fr", replaced: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._replaced = {code: dict(texts) for code, texts in (replaced or {}).items()}
        unknown = {key for texts in self._replaced.values() for key in texts} - load_texts(FALLBACK).keys()
        if unknown:
            raise ValueError(f"no such texts: {', '.join(sorted(unknown))}")
        self._texts = self._of(language)
        self.language = language

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key with its placeholders filled in. A missing key is returned as it is."""
        text = self._texts.get(key, key)
        return text.format(**values) if values else text

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have texts: ours, then the host's."""
        return (*our_languages(), *sorted(self._replaced.keys() - our_languages()))

    def name_of(self, language: str) -> str:
        """The language's own name: `Français`."""
        return self._of(language)["language.name"]

    def has(self, key: str) -> bool:
        return key in self._texts

    def switch(self, language: str) -> None:
        if language == self.language:
            return
        self._texts = self._of(language)
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

    def _of(self, language: str) -> dict[str, str]:
        ours = load_texts(language if language in our_languages() else FALLBACK)
        return ours | self._replaced.get(language, {})


@cache
def our_languages() -> tuple[str, ...]:
    return tuple(sorted((path.suffixes[0][1:] for path in LOCALES.glob("core.*.json")), reverse=True))


def load_texts(language: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted(LOCALES.glob(f"*.{language}.json")):
        texts |= json.loads(path.read_text(encoding="utf-8"))
    return texts
