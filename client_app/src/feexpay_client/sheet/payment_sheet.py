"""`PaymentSheet`: a Kivy app opens it over its own screen and is told at the end what became of the payment."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from kivy.app import App
from kivy.clock import Clock
from kivy.core.clipboard import Clipboard
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.uix.modalview import ModalView
from platformdirs import user_documents_path

from feexpay_client.core.api import PAYMENTS_PATH, FeexPayClient
from feexpay_client.core.connection import Setting
from feexpay_client.core.flow import Clock as FlowClock
from feexpay_client.core.i18n import Texts
from feexpay_client.core.models import Payment
from feexpay_client.core.preferences import Preferences
from feexpay_client.core.purchase import Purchase
from feexpay_client.core.states import FORM, OPEN, SETTLED, Draft, State
from feexpay_client.presenters.app_context import AppContext
from feexpay_client.presenters.kv_texts import kv_texts
from feexpay_client.presenters.providers import ProvidersPresenter
from feexpay_client.presenters.tasks import Tasks
from feexpay_client.sheet.clock_loop import ClockLoop
from feexpay_client.sheet.session import SheetSession
from feexpay_client.sheet.stage import PaymentStage
from feexpay_client.ui import appearance, widgets  # noqa: F401 -- makes the widgets known to kv
from feexpay_client.ui.input_mode import follow_touch
from feexpay_client.ui.shell import FeexPayShell
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.theme import Theme
from feexpay_client.ui.theme import theme as shown_theme
from feexpay_client.ui.widgets.focus import ESCAPE, TAB, move_focus
from feexpay_client.ui.widgets.sheet import FeexPaySheet

#: From this size on, the sheet leaves a margin around it. A phone held sideways has no height to spare.
_FLOATING_DP = (600, 520)
_WIDEST_DP, _HIGHEST_DP, _MARGIN_DP = 1000, 860, 24


@dataclass(frozen=True, slots=True)
class SheetResult:
    """How the sheet was left.

    status: `successful`, `failed`, `pending` (it goes on; `resume()` shows it again) or `cancelled` (nothing was paid).
    payment: the payment; None if there was none. Do not credit anything because of this result: your server does that,
    and knows first.
    """

    status: str
    payment: Payment | None = None


class PaymentSheet(ModalView):
    """Ways to pay, form, waiting and receipt, over the app's own screen.

        sheet = PaymentSheet(api="https://shop.example", token=player.token, on_result=paid)
        sheet.resume()                                          # when the app starts
        sheet.open(Purchase(500, "XOF", "50 coins", {...}))     # as often as the player buys

    If the app was killed while a payment was open, `resume()` opens the sheet on that payment, else it does nothing.
    While one payment is open, no sheet starts another: it shows the first.

    api: the server's address, or a `FeexPayClient` of yours. token: the payer's token, or a function that returns the
    current one. purchase: what `open()` sells if it is given nothing. on_result: called once for each `open()` or
    `resume()` that showed the sheet, after it has closed. on_sign_in: called if the server refuses the token; get a new
    one, then call `signed_in()`. account: tells the players of one device apart. texts: language → key →
    text, see `Texts`. shop_name: who is paid, shown with the purchase and on the receipt. return_url: the http(s) page
    of yours to which an operator's page leads back; your server must allow its host (`RETURN_HOSTS`). folder: where the
    journal is kept, by default in the app's private folder. payments_path: see `FeexPayClient`.
    """

    is_sheet = True
    #: Sheets between `open()` and their end: an app need not keep them, and Kivy and asyncio refer to them weakly.
    _running: ClassVar[set[PaymentSheet]] = set()

    def __init__(
        self,
        *,
        api: FeexPayClient | str,
        token: Setting = "",
        purchase: Purchase | None = None,
        on_result: Callable[[SheetResult], object] = lambda result: None,
        on_sign_in: Callable[[], object] = lambda: None,
        account: str = "",
        theme: Theme | None = None,
        language: str = "fr",
        country: str = "",
        texts: Mapping[str, Mapping[str, str]] | None = None,
        shop_name: str = "",
        return_url: str = "",
        folder: Path | str | None = None,
        payments_path: str = PAYMENTS_PATH,
        open_page: Callable[[str], object] = webbrowser.open,
        clock: FlowClock | None = None,
        transport: Any = None,
    ) -> None:
        super().__init__(auto_dismiss=False, background="", background_color=(0, 0, 0, 0))
        Texts(language, texts)  # a wrong key fails here, not when the sheet opens
        self._theme = theme or Theme()
        self._made_for = self._purchase = purchase
        self._on_result, self._on_sign_in = on_result, on_sign_in
        self._api, self._token, self._payments_path, self._transport = api, token, payments_path, transport
        self._folder, self._account = folder, account
        self._defaults, self._texts = Preferences(language=language, country=country), texts
        self._shop_name, self._return_url = shop_name, return_url
        self._open_page, self._clock = open_page, clock
        self._runner: ClockLoop | None = None
        self._ended: Payment | None = None
        self._screen = ""
        self._asked = False

    # --- called by the app ---

    def open(self, purchase: object = None, **_options: object) -> None:
        """Show the sheet for this `Purchase`, or for the payment that is still open. Safe to repeat.

        What a button passes to `on_release=sheet.open` is no purchase: then the sheet sells what it was made for.
        """
        if self._screen:
            return
        self._purchase = purchase if isinstance(purchase, Purchase) else self._made_for
        self._asked = True  # also for a sheet that is just closing, or looking for a payment to resume
        if self._runner is None:
            self._begin()

    def resume(self) -> None:
        """Show the sheet if a payment was open when the app was closed or killed. Call it when the app starts."""
        if self._runner is None:
            self._purchase = self._made_for
            self._begin()

    def signed_in(self) -> None:
        """The token is a new one: continue."""
        if self._runner is not None and self._session.flow is not None:
            self._session.flow.signed_in()

    @property
    def showing(self) -> str:
        """The screen shown: `pay`, `status` or `result`; empty before and after."""
        return self._screen

    # --- start ---

    def _begin(self) -> None:
        self._running.add(self)
        self._runner, self._ended = ClockLoop(), None
        self._tasks = Tasks(self._runner.loop)
        self._session = SheetSession(
            self._client(),
            _private_folder() if self._folder is None else Path(self._folder),
            self._account,
            defaults=self._defaults,
            texts=self._texts,
            open_page=self._open_page,
            ask_sign_in=self._on_sign_in,
            clock=self._clock,
        )
        app = App.get_running_app()
        if app is not None:
            app.bind(on_stop=self._app_stops, on_resume=self._app_resumes)
        self._tasks.spawn(self._start())

    def _client(self) -> FeexPayClient:
        if isinstance(self._api, FeexPayClient):
            return self._api
        return FeexPayClient(
            self._api,
            self._token,
            payments_path=self._payments_path,
            language=self._defaults.language,
            transport=self._transport,
        )

    async def _start(self) -> None:
        phase = await self._session.start()
        asked, self._asked = self._asked, False
        if phase in FORM and (self._purchase is None or not asked):
            await self._end(SheetResult("cancelled") if asked else None)
            return
        self._make_screens()
        self._show_window()
        self.context.follow_session()
        self.providers.show()
        self.providers.refresh()
        self._go(self.stage.first() or self._first_step())

    def _make_screens(self) -> None:
        kv_texts.use_texts(self._session.texts)
        shown_theme.use(self._theme)
        appearance.apply(replace(self._session.preferences.value, theme=self._theme.mode), appearance.system_is_dark)
        self.overlay_color = shown_theme.scrim
        self.context = AppContext(
            self._session,
            self._tasks,
            Clipboard.copy,
            user_documents_path(),
            lambda: datetime.now(UTC),
            None,
            shop_name=self._shop_name,
            return_url=lambda: self._return_url,
        )
        self.context.subscribe(self._follow)
        self.stage = PaymentStage(self.context, self._title_of)
        self.stage.providers.bind(trouble_text=self._show_banner)
        self._shell = FeexPayShell(size_hint=(None, None))
        self._shell.bind(on_back=lambda *_: self._back(), on_banner=lambda *_: self._try_again(), wide=self._rebuild)
        self.add_widget(self._shell)
        self.bind(size=self._fit)

    def _show_window(self) -> None:
        self._softinput_mode, Window.softinput_mode = Window.softinput_mode, "below_target"
        super().open(animation=False)
        Window.bind(on_keyboard=self._on_key, on_touch_down=follow_touch)
        self._fit()

    def _fit(self, *_args: object) -> None:
        """Fill the whole window on a phone; show a panel in its middle where there is room."""
        width, height = self.size
        if width < dp(_FLOATING_DP[0]) or height < dp(_FLOATING_DP[1]):
            self._shell.corner, self._shell.size = 0, (width, height)
            return
        margin = 2 * dp(_MARGIN_DP)
        self._shell.corner = dp(self._theme.radius + 6)
        self._shell.size = (min(width - margin, dp(_WIDEST_DP)), min(height - margin, dp(_HIGHEST_DP)))

    # --- the host of the screens (`sheet.host.Host`) ---

    @property
    def wide(self) -> bool:
        return bool(self._shell.wide)

    @property
    def providers(self) -> ProvidersPresenter:
        return self.stage.providers

    def tr(self, key: str) -> str:
        return self._session.texts(key)

    def go_back(self) -> None:
        self._shell.go_back()

    def open_sheet(self, sheet: FeexPaySheet) -> None:
        self._shell.open_sheet(sheet)

    def pick_provider(self) -> None:
        if self._screen == "pay":
            self._shell.screen.pick_again()

    def leave_payment(self) -> None:
        self._leave()

    def finish_payment(self) -> None:
        """After a failure the form is shown again; else the sheet closes."""
        purchase, showing, self._screen = self._purchase, self._screen, ""
        following = self.stage.finish(purchase.title if purchase is not None else self.tr("home.free_title"))
        self._screen = showing
        if following:
            self._go(following)
        else:
            self._leave()

    def follow_payment(self) -> None:
        """Only receipts of a history offer this."""

    # --- which screen ---

    def _go(self, name: str) -> None:
        self._shell.leave_screen()
        self._screen = name
        self._shell.show(self.stage.screen(name, self))
        self._show_banner()
        Clock.schedule_once(self._focus_first, 0)

    def _follow(self, state: State) -> None:
        if state.ended is not None:
            self._ended = state.ended
        if not self._screen:
            return
        following = self.stage.following(self._screen)
        if following is not None:
            name = following or self._first_step()
            if not name:
                self._leave()
                return
            self._go(name)
        self._show_banner()

    def _back(self) -> None:
        if self._screen == "pay" and self._shell.screen.pick_again():
            return
        if self._screen == "result":
            self.finish_payment()
        else:
            self._leave()

    def _rebuild(self, *_args: object) -> None:
        if self._screen:
            self._go(self._screen)

    def _focus_first(self, _seconds: float) -> None:
        if self._screen:
            self._shell.focus_first()

    def _first_step(self) -> str:
        """The form for the purchase; empty if the sheet was opened for none."""
        return "" if self._purchase is None else self.stage.begin(self._purchase)

    def _title_of(self, payment: Payment | Draft) -> str:
        purchase = self._purchase
        return purchase.title if purchase is not None and purchase.is_paid_by(payment) else ""

    # --- banner and keys ---

    def _show_banner(self, *_args: object) -> None:
        state, shell = self.context.state, self._shell
        shell.banner_icon, shell.banner_variant, text, action = "offline", "warning", "", "common.again"
        if not state.online:
            text = self.tr("banner.offline_open" if state.phase in OPEN else "banner.offline")
        elif state.other_window:
            shell.banner_icon, text, action = "alert", self.tr("banner.other_window"), "banner.check"
        elif self._screen == "pay" and self.providers.state == "ready":
            text = self.providers.trouble_text
        shell.banner_action, shell.banner_text = self.tr(action) if text else "", text

    def _try_again(self) -> None:
        if self._session.flow is not None:
            self._session.flow.check_now()
        self.providers.refresh()

    def _on_key(self, _window: Any, key: int, _scancode: Any = None, _text: Any = None, modifiers: Any = ()) -> bool:
        """Esc and Tab belong to the sheet while it is open, also when no widget has the focus."""
        if key == ESCAPE:
            self.go_back()
        elif key == TAB:
            move_focus(None, backwards="shift" in (modifiers or ()), frame=self._shell)
        return True

    # --- the end ---

    def _leave(self) -> None:
        """Close the sheet. An open payment stays in the journal and on the server."""
        if self._runner is None or not self._screen:
            return
        result = self._result()
        self._close_window()
        self._tasks.cancel()
        self._tasks.spawn(self._end(result))

    def _result(self) -> SheetResult:
        state = self.context.state
        if state.phase in OPEN:
            return SheetResult("pending", state.payment)
        if state.phase in SETTLED and state.ended is not None:
            return SheetResult(state.ended.status, state.ended)
        return SheetResult(self._ended.status, self._ended) if self._ended is not None else SheetResult("cancelled")

    async def _end(self, result: SheetResult | None) -> None:
        """Free the journal for the next sheet, then tell the app; if nothing was shown (`None`), it is not told."""
        await self._session.close()
        self._running.discard(self)
        runner, self._runner = self._runner, None
        # The connections belong to the loop; a client of the app's own loop stays open.
        if self._session.api is not self._api or (runner is not None and runner.stepped):
            await self._session.api.close()
        app = App.get_running_app()
        if app is not None:
            app.unbind(on_stop=self._app_stops, on_resume=self._app_resumes)
        if runner is not None:
            runner.close()
        if result is not None:
            Clock.schedule_once(lambda _seconds: self._on_result(result), 0)
        if self._asked:
            Clock.schedule_once(lambda _seconds: self.open(self._purchase), 0)

    def _close_window(self) -> None:
        self._shell.leave_screen()
        self.stage.waiting.stop()
        self._screen = ""
        self.unbind(size=self._fit)
        Window.unbind(on_keyboard=self._on_key, on_touch_down=follow_touch)
        Window.softinput_mode = self._softinput_mode
        self.dismiss(animation=False)
        tear_down(self._shell)
        self.remove_widget(self._shell)

    def _app_stops(self, *_args: object) -> None:
        """The app ends while the sheet is open: the payment stays in the journal, for `resume()`."""
        self._asked = False
        if self._screen:
            self._close_window()
        if self._runner is not None:
            self._tasks.cancel()
            self._runner.finish(self._end(None))

    def _app_resumes(self, *_args: object) -> None:
        """Poll at once, because the payment may have ended meanwhile. Android may also have dropped the surface."""
        if self._screen and self._session.flow is not None:
            self._session.flow.check_now()


def _private_folder() -> Path:
    """Where Kivy lets this app keep its files."""
    app = App.get_running_app()
    if app is None:
        raise RuntimeError("PaymentSheet: give a folder, or open it while a Kivy App is running")
    return Path(app.user_data_dir) / "feexpay"
