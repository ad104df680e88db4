"""One payer's payments behind a sheet: what `AppContext` needs, without an account of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.catalogue import Catalogue
from feexpay_client.core.flow import Clock
from feexpay_client.core.i18n import Texts
from feexpay_client.core.preferences import PreferenceFile, Preferences
from feexpay_client.core.states import Phase
from feexpay_client.flow import PaymentFlow


class SheetSession:
    """`start()` reads the journal and continues an open payment; `close()` leaves it in the journal."""

    def __init__(
        self,
        api: FeexPayClient,
        folder: Path,
        account: str,
        *,
        defaults: Preferences,
        texts: Mapping[str, Mapping[str, str]] | None,
        open_page: Callable[[str], object],
        ask_sign_in: Callable[[], object],
        clock: Clock | None,
    ) -> None:
        self.texts = Texts(defaults.language, texts)
        self.preferences = PreferenceFile(folder / "preferences.json", defaults, self.texts.languages)
        # The host chooses the language, whatever it was when the country was stored.
        self.preferences.value = replace(self.preferences.value, language=defaults.language)
        self.api = api
        self.catalogue = Catalogue(api, folder / "cache", api.base_url, defaults.language)
        self.flow: PaymentFlow | None = PaymentFlow(
            api,
            folder / "journal",
            account,
            open_page=lambda url: _done(open_page(url)),
            ask_sign_in=ask_sign_in,
            clock=clock,
        )

    async def start(self) -> Phase:
        """Returns the phase of the payment in the journal; one of `FORM` if there is none."""
        assert self.flow is not None  # noqa: S101 -- set above; None only in an app without a session
        await self.flow.open()
        return self.flow.state.phase

    async def close(self) -> None:
        if self.flow is not None:
            await self.flow.close()


def _done(_answer: object) -> None:
    """Discard what `webbrowser.open` returns: it is of no use to the flow."""
