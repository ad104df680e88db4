"""Sign-in: server, username, password and errors."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client.core import errors
from feexpay_client.core.connection import server_address
from feexpay_client.core.session import Session
from feexpay_client.presenters.presenter import Presenter


class SignInPresenter(Presenter):
    """`again`: the session ended while the payer used the app. Signing in then returns to the same screen."""

    session: Session  # only the app has these screens

    server = StringProperty("")
    username = StringProperty("")
    password = StringProperty("")
    server_error = StringProperty("")
    username_error = StringProperty("")
    password_error = StringProperty("")
    problem = StringProperty("")
    busy = BooleanProperty(False)
    again = BooleanProperty(False)
    #: False if the app was built for one server.
    shows_server = BooleanProperty(True)
    language = StringProperty("")
    #: (code, shown text) of each; three or more languages show their codes, because the row is narrow.
    languages = ListProperty()
    shop_name = StringProperty("")
    sign_up_url = StringProperty("")
    forgot_url = StringProperty("")
    #: The first field with an error.
    first_error_field = StringProperty("")
    #: Why the payer must sign in again at the next start; empty if the session is stored.
    notice = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        stored = self.context.preferences
        self.server, self.username = self.session.server, stored.username
        self.sign_up_url, self.forgot_url = self.context.sign_up_url, self.context.forgot_url
        self.shows_server = not self.session.fixed_server
        self.shop_name = self.context.shop_name
        codes, named = self.session.languages, self.session.texts.name_of
        self.languages = [(code, named(code) if len(codes) < 3 else code.upper()) for code in codes]
        self.relabel()

    def relabel(self) -> None:
        self.notice = "" if self.session.is_stored else self.tr("settings.not_kept")
        self.language = self.session.texts.language
        self.server_error = self.username_error = self.password_error = self.problem = ""

    def open_sign_up(self) -> None:
        self.context.open_link(self.sign_up_url)

    def open_forgot(self) -> None:
        self.context.open_link(self.forgot_url)

    def on_language(self, *_args: object) -> None:
        if self.language != self.session.texts.language:
            self.session.set_language(self.language)

    def on_server(self, *_args: object) -> None:
        self.server_error = self.problem = ""

    def on_username(self, *_args: object) -> None:
        self.username_error = self.problem = ""

    def on_password(self, *_args: object) -> None:
        self.password_error = self.problem = ""

    def sign_in(self) -> None:
        """Sign in once, however often it is pressed. A missing value is shown at its field, and nothing is sent."""
        if not self.busy and self._complete():
            self.busy = True
            self.spawn(self._sign_in())

    def _complete(self) -> bool:
        try:
            server_address(self.server)
            self.server_error = ""
        except ValueError as wrong:
            self.server_error = self.tr(f"server.{wrong}")
        self.username_error = "" if self.username.strip() else self.tr("signin.username_missing")
        self.password_error = "" if self.password else self.tr("signin.password_missing")
        self._name_first_error()
        return not self.first_error_field

    def _name_first_error(self) -> None:
        self.first_error_field = ""
        wrong = ("server", self.server_error), ("username", self.username_error), ("password", self.password_error)
        self.first_error_field = next((name for name, error in wrong if error), "")

    async def _sign_in(self) -> None:
        self.problem = ""
        try:
            await self.session.sign_in(self.server, self.username, self.password)
        except errors.Offline:
            self.problem = self.tr("signin.offline")
        except (errors.Unauthorized, errors.Invalid):
            self.password_error = self.tr("signin.wrong")
            self._name_first_error()
        except errors.ApiError as error:
            self.problem = self.context.trouble(error)
        else:
            self.password = ""
        finally:
            self.busy = False
