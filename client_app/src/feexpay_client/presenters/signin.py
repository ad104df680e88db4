"""Sign-in: server, username, password and errors."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, StringProperty

from feexpay_client.core import errors
from feexpay_client.core.api import server_address
from feexpay_client.presenters.presenter import Presenter


class SignInPresenter(Presenter):
    """`again`: the session ended while the payer used the app. Signing in then returns to the same screen."""

    server = StringProperty("")
    username = StringProperty("")
    password = StringProperty("")
    server_error = StringProperty("")
    username_error = StringProperty("")
    password_error = StringProperty("")
    problem = StringProperty("")
    busy = BooleanProperty(False)
    again = BooleanProperty(False)
    #: Why the payer must sign in again at the next start; empty if the session is stored.
    notice = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        stored = self.context.preferences
        self.server, self.username = stored.server, stored.username
        self.relabel()

    def relabel(self) -> None:
        self.notice = "" if self.session.is_stored else self.tr("settings.not_kept")
        self.server_error = self.username_error = self.password_error = self.problem = ""

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
        return not (self.server_error or self.username_error or self.password_error)

    async def _sign_in(self) -> None:
        self.problem = ""
        try:
            await self.session.sign_in(self.server, self.username, self.password)
        except errors.Offline:
            self.problem = self.tr("signin.offline")
        except (errors.Unauthorized, errors.Invalid):
            self.password_error = self.tr("signin.wrong")
        except errors.ApiError as error:
            self.problem = self.context.trouble(error)
        else:
            self.password = ""
        finally:
            self.busy = False
