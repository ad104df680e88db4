"""Translated texts for kv rules. The app rebuilds the screen when the language changes."""

from __future__ import annotations

from feexpay_client.core.i18n import Texts


class Words:
    """Look up texts in the language of the running app."""

    def __init__(self) -> None:
        self._texts = Texts()

    def use_texts(self, texts: Texts) -> None:
        """Use the texts of this app's session."""
        self._texts = texts

    def tr(self, key: str, /, **places: object) -> str:
        return self._texts(key, **places)


words = Words()

#: For kv: `tr("home.title")`.
tr = words.tr
