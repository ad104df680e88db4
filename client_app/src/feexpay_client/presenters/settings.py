"""Settings: appearance, language and the signed-in account."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client import __version__
from feexpay_client.core.session import Session
from feexpay_client.presenters.presenter import Presenter


class SettingsPresenter(Presenter):
    """The settings. Every change applies at once and is stored."""

    session: Session  # only the app has these screens

    language = StringProperty("fr")
    languages = ListProperty()
    theme = StringProperty("system")
    text_size = StringProperty("100")
    reduced_motion = BooleanProperty(False)
    username = StringProperty("")
    server = StringProperty("")
    version = StringProperty(__version__)
    storage_notice = StringProperty("")
    busy = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        stored = self.context.preferences
        self.language, self.theme, self.reduced_motion = stored.language, stored.theme, stored.reduced_motion
        self.text_size = str(stored.text_size)
        self.languages = [(code, self.session.texts.name_of(code)) for code in self.session.languages]
        self.relabel()

    def relabel(self) -> None:
        self.username, self.server = self.session.username, self.session.server
        self.storage_notice = "" if self.session.is_stored else self.tr("settings.not_kept")

    def on_language(self, *_args: object) -> None:
        if self.language != self.context.preferences.language:
            self.session.set_language(self.language)

    def on_theme(self, *_args: object) -> None:
        self.context.remember(theme=self.theme)

    def on_text_size(self, *_args: object) -> None:
        self.context.remember(text_size=int(self.text_size))

    def on_reduced_motion(self, *_args: object) -> None:
        self.context.remember(reduced_motion=self.reduced_motion)

    def sign_out(self) -> None:
        if not self.busy:
            self.busy = True
            self.spawn(self._sign_out())

    async def _sign_out(self) -> None:
        try:
            await self.session.sign_out()
        finally:
            self.busy = False
