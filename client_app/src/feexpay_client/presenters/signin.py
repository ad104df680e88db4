"""Signing in: which server, who, and what went wrong."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, StringProperty

from feexpay_client.core import errors
from feexpay_client.core.api import server_address
from feexpay_client.presenters.presenter import Presenter


class SignInPresenter(Presenter):
    """`again` is true when a session ended under way: signing in then leads back to where the payer was."""

    server = StringProperty("")
    username = StringProperty("")
    password = StringProperty("")
    server_error = StringProperty("")
    username_error = StringProperty("")
    password_error = StringProperty("")
    problem = StringProperty("")
    busy = BooleanProperty(False)
    again = BooleanProperty(False)
    #: Why one will have to sign in again next time; empty where the session is kept.
    notice = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        kept = self.services.preferences
        self.server, self.username = kept.server, kept.username
        self.relabel()

    def relabel(self) -> None:
        self.notice = "" if self.session.remembers else self.tr("settings.not_kept")
        self.server_error = self.username_error = self.password_error = self.problem = ""

    def on_server(self, *_args: object) -> None:
        self.server_error = self.problem = ""

    def on_username(self, *_args: object) -> None:
        self.username_error = self.problem = ""

    def on_password(self, *_args: object) -> None:
        self.password_error = self.problem = ""

    def sign_in(self) -> None:
        """Two presses are one. What is missing is said at its field, and nothing is sent."""
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
            self.problem = self.services.trouble(error)
        else:
            self.password = ""
        finally:
            self.busy = False
