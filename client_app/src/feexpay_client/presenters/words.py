"""The texts in force, where kv rules can reach them. Screens are built anew after a change of language."""

from __future__ import annotations

from feexpay_client.core.i18n import Texts


class Words:
    """Looks up a text in whatever language the running app speaks."""

    def __init__(self) -> None:
        self._texts = Texts()

    def speak_by(self, texts: Texts) -> None:
        """Use the texts of this app's session."""
        self._texts = texts

    def tr(self, key: str, /, **places: object) -> str:
        return self._texts(key, **places)


words = Words()

#: For kv: `say("home.title")`.
say = words.tr
