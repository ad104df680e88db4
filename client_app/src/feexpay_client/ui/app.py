"""The Kivy app: creates the presenters, chooses the screen, handles keys and system events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from kivy.app import App
from kivy.clock import Clock
from kivy.core.clipboard import Clipboard
from kivy.core.window import Window

from feexpay_client.core import money, receipts
from feexpay_client.core.models import Payment
from feexpay_client.core.purchase import Purchase
from feexpay_client.core.session import Session
from feexpay_client.core.states import OPEN, SETTLED, Phase, State
from feexpay_client.core.system_locale import is_phone
from feexpay_client.presenters.app_context import AppContext
from feexpay_client.presenters.history import HistoryPresenter
from feexpay_client.presenters.home import HomePresenter
from feexpay_client.presenters.kv_texts import kv_texts
from feexpay_client.presenters.result import ReceiptPresenter
from feexpay_client.presenters.settings import SettingsPresenter
from feexpay_client.presenters.signin import SignInPresenter
from feexpay_client.presenters.tasks import Tasks
from feexpay_client.sheet.stage import PaymentStage
from feexpay_client.ui import appearance, notices, widgets  # noqa: F401 -- makes the widgets known to kv
from feexpay_client.ui.input_mode import follow_touch
from feexpay_client.ui.screens.history import FeexPayHistoryScreen
from feexpay_client.ui.screens.home import FeexPayHomeScreen
from feexpay_client.ui.screens.result import FeexPayResultScreen
from feexpay_client.ui.screens.settings import FeexPaySettingsScreen
from feexpay_client.ui.screens.signin import FeexPaySignInScreen
from feexpay_client.ui.shell import FeexPayShell
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.theme import Theme
from feexpay_client.ui.theme import theme as shown_theme
from feexpay_client.ui.widgets.button import FeexPayTextButton
from feexpay_client.ui.widgets.focus import ESCAPE, TAB, move_focus
from feexpay_client.ui.widgets.sheet import FeexPaySheet
from feexpay_client.ui.widgets.text import FeexPayText

#: Variant, icon and text of the banner for a payment that ended while another screen was shown.
_RESULT_BANNERS = {
    "successful": ("primary", "tick", "banner.succeeded"),
    "failed": ("danger", "alert", "banner.failed"),
    "unconfirmed": ("warning", "alert", "banner.unconfirmed"),
}
NAVIGATION = (("home", "bag"), ("history", "list"), ("settings", "sliders"))
#: The screen that Esc and the back arrow lead to.
_BACK = {"pay": "home", "status": "home", "result": "home", "receipt": "history", "history": "home", "settings": "home"}


class ClientApp(App):
    """The app of one session. `documents` is the folder for receipts, `theme` the brand's colours and logo."""

    title = "FeexPay"

    def __init__(
        self,
        session: Session,
        documents: Path,
        *,
        copy: Callable[[str], None] = Clipboard.copy,
        system_dark: Callable[[], bool] = appearance.system_is_dark,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        zone: tzinfo | None = None,
        shop_name: str = "",
        theme: Theme | None = None,
        sign_up_url: str = "",
        forgot_url: str = "",
    ) -> None:
        super().__init__()
        self.tasks = Tasks()
        self.session = session
        self.system_dark = system_dark
        self._theme = theme or Theme()
        self.context = AppContext(
            session,
            self.tasks,
            copy,
            documents,
            now,
            zone,
            shop_name=shop_name,
            return_url=lambda: session.return_url,
            sign_up_url=sign_up_url,
            forgot_url=forgot_url,
        )
        session.on_change = self._account_changed
        kv_texts.use_texts(session.texts)
        session.texts.subscribe(self._relabel)
        self.tr = session.texts
        self.showing = ""
        self._screen_after_sign_in = ""
        self._account = ""
        self._phase = Phase.EDITING
        self._waits_in_background = False
        self._make_presenters()

    def _make_presenters(self) -> None:
        context = self.context
        self.signin = SignInPresenter(context=context)
        self.home = HomePresenter(context=context)
        self.stage = PaymentStage(context, self.home.title_of)
        self.providers, self.form = self.stage.providers, self.stage.form
        self.waiting, self.result = self.stage.waiting, self.stage.result
        self.receipt = ReceiptPresenter(self.home.title_of, self.providers, context=context)
        self.history = HistoryPresenter(self.providers, self.home, context=context)
        self.settings_page = SettingsPresenter(context=context)
        context.subscribe(self._follow)
        self.home.bind(packs=self._name_purchases)
        self.home.bind(new_balance=self._show_balance)
        self.home.bind(on_chosen=self._begin, trouble_text=self._show_banner)
        for page in (self.history, self.providers):
            page.bind(trouble_text=self._show_banner)
        for name in ("theme", "text_size", "reduced_motion"):
            self.settings_page.fbind(name, self._apply_appearance)

    def _name_purchases(self, *_args: object) -> None:
        """Show what was bought on the results, now that the packs have been loaded."""
        for presenter in (self.result, self.receipt):
            presenter.relabel()

    # --- life cycle ---

    def build(self) -> FeexPayShell:
        shown_theme.use(self._theme)
        self._apply_appearance()
        shell = FeexPayShell(go=self.go)
        shell.bind(
            wide=self._rebuild_screen, on_back=lambda *_: self.back(), on_banner=lambda *_: self._banner_pressed()
        )
        Window.bind(on_keyboard=self._on_key, on_touch_down=follow_touch)
        Window.softinput_mode = "below_target"  # the on-screen keyboard must not cover the field
        self.root = shell
        self._label_navigation()
        self.go("start")
        return shell

    def on_start(self) -> None:
        self.tasks.spawn(self._start())

    async def _start(self) -> None:
        if not await self.session.start():
            self._account_changed()

    def on_pause(self) -> bool:
        self._waits_in_background = self._waits_for_the_payer()
        return True

    def on_resume(self) -> None:
        """Redraw and poll: meanwhile Android may have dropped the surface, and the payment may have ended."""
        Window.update_viewport()
        if self.session.flow is not None:
            self.session.flow.check_now()
        self._refresh_shown()
        if self._waits_in_background:
            self._waits_in_background = False
            self._ask_to_notify()

    def on_stop(self) -> None:
        Window.unbind(on_keyboard=self._on_key, on_touch_down=follow_touch)
        if self.root is not None:
            self.root.leave_screen()
            tear_down(self.root)
        self.tasks.cancel()

    async def close(self) -> None:
        """Close the session after the window has closed. An open payment stays in the journal."""
        self.tasks.cancel()
        await self.session.close()

    # --- choice of screen ---

    def go(self, name: str) -> None:
        """Build and show that screen. Without a session, show the sign-in screen first."""
        if not self.session.signed_in and name not in ("signin", "start"):
            self._screen_after_sign_in, name = name, "signin"
        name = self._allowed_screen(name)
        shell = self.root
        shell.leave_screen()
        self.showing = name
        shell.navigation_visible = name in dict(NAVIGATION) or (shell.wide and name not in ("signin", "start"))
        shell.active_item = {"pay": "home", "status": "home", "result": "home", "receipt": "history"}.get(name, name)
        shell.show(self.stage.screen(name, self) or _SCREENS[name](self))
        self._show_banner()
        self._refresh_shown()
        Clock.schedule_once(self._focus_first, 0)

    def _allowed_screen(self, name: str) -> str:
        """Replace `status` or `result` by the screen that fits the state of the flow's payment."""
        return self.stage.allowed(name) or "home"

    def back(self) -> None:
        """Go one step back. The first screen stays: closing the app is up to the window."""
        if self.showing == "pay" and self.root.screen.pick_again():
            return
        if self.showing == "result":
            self.finish_payment()
        elif self.showing in _BACK:
            self.go(_BACK[self.showing])

    def leave_payment(self) -> None:
        """Show the shop; the flow keeps polling."""
        self.go("home")
        self._ask_to_notify()

    def pick_provider(self) -> None:
        if self.showing == "pay":
            self.root.screen.pick_again()

    def finish_payment(self) -> None:
        """Leave the result. After a failure, open the form with the same purchase to pay another way."""
        self.go(self.stage.finish(self.tr("home.free_title")) or "home")

    def follow_payment(self) -> None:
        """Poll the pending payment of the receipt and show its status."""
        payment, flow = self.receipt.shown, self.session.flow
        if payment is None or flow is None:
            return
        if not (self.context.state.open and self.context.state.payment == payment):
            flow.follow(payment)
        if flow.state.payment is not None and flow.state.payment.id == payment.id:
            self.go("status")

    def open_receipt(self, payment_id: str) -> None:
        payment = self.history.get(payment_id)
        if payment is not None:
            self.receipt.show(payment)
            if not self.root.wide:
                self.go("receipt")

    def ask_sign_out(self) -> None:
        """Ask for confirmation, because a payment may be open."""
        sheet = FeexPaySheet(title=self.tr("signout.title"))
        text = self.tr("signout.open") if self.waiting.open else self.tr("signout.text")
        yes = FeexPayTextButton(text=self.tr("settings.sign_out"), kind="danger")
        no = FeexPayTextButton(text=self.tr("common.cancel"), kind="secondary")

        def sign_out(_button: Any) -> None:
            sheet.close()
            self.settings_page.sign_out()

        yes.bind(on_release=sign_out)
        no.bind(on_release=lambda *_: sheet.close())
        for part in (FeexPayText(text=text, tone="muted"), yes, no):
            sheet.add_widget(part)
        self.root.open_sheet(sheet)

    # --- session, flow and banner ---

    def _account_changed(self) -> None:
        """Follow the account after a sign-in, a sign-out or the end of the session."""
        self.context.follow_session()
        for page in (self.signin, self.settings_page):
            page.relabel()
        if self.root is None:
            return
        if not self.session.signed_in:
            ended = self.session.flow is not None
            self.signin.again = ended
            if self.showing != "signin":
                self._screen_after_sign_in = self.showing if ended else ""
                self.go("signin")
            return
        self._show_first_screen()

    def _show_first_screen(self) -> None:
        """After sign-in: show the open payment, else the screen the payer was on, else the shop."""
        if self.session.username != self._account:
            self._account = self.session.username
            self.home.forget()
            self.history.forget()
            self.receipt.show(None)
        self.providers.show()
        self.providers.refresh()
        wanted, self._screen_after_sign_in = self._screen_after_sign_in, ""
        state = self.context.state
        if state.phase in OPEN:
            wanted = "status"
        elif state.phase in SETTLED:
            wanted = "result"
        elif wanted in ("", "start", "signin", "status", "result", "receipt"):
            wanted = "home"
        self.go(wanted)

    def _follow(self, state: State) -> None:
        """Follow the flow's new phase. Never take the payer away from an unrelated screen."""
        before, self._phase = self._phase, state.phase
        if self.root is None or state.phase is before or not self.session.signed_in:
            self._show_banner()
            return
        following = self.stage.following(
            "result" if self.showing == "receipt" and state.phase in OPEN else self.showing
        )
        if following is not None:
            self.go(following or "home")
        if state.phase in SETTLED and before in OPEN:
            self.home.expect_coins()
            self._notify_if_away(state)
        self._show_banner()

    def _waits_for_the_payer(self) -> bool:
        """Whether a payment goes on that asks for nothing here: who types a code must not be interrupted."""
        return self.context.state.phase in OPEN and self.context.state.phase is not Phase.OTP

    def _ask_to_notify(self) -> None:
        """Ask once, when a payment goes on in the background for the first time: then a notification is useful."""
        preferences = self.session.preferences
        if self._waits_for_the_payer() and not preferences.value.asked_to_notify and notices.ask_permission():
            preferences.change(asked_to_notify=True)

    def _notify_if_away(self, state: State) -> None:
        """Tell a payer who approved on another window; the text names no number and no operator."""
        if state.ended is not None and notices.is_away():
            _variant, _icon, text = _RESULT_BANNERS[receipts.shown_status(state.ended)]
            amount = self.context.money(state.ended.charged_amount, state.ended.charged_currency)
            notices.notify(self.tr(text), amount, self.title)

    def _show_balance(self, _home: Any, coins: str) -> None:
        self.result.balance_text = self.tr("home.balance_now", coins=coins) if coins else ""

    def _begin(self, _home: Any, amount: int, currency: str, metadata: dict[str, Any], title: str) -> None:
        """Open the form for a purchase, or the open payment if there is one."""
        self.go(self.stage.begin(Purchase(amount, currency, title, metadata)))

    def _show_banner(self, *_args: object) -> None:
        """Show the most urgent message, or none."""
        if self.root is None:
            return
        variant, icon, text, action = self._banner()
        shell = self.root
        shell.banner_variant, shell.banner_icon, shell.banner_action, shell.banner_text = variant, icon, action, text

    def _banner(self) -> tuple[str, str, str, str]:
        state = self.context.state
        if self.showing in ("signin", "start"):
            return "warning", "offline", "", ""
        if not state.online:
            text = "banner.offline_open" if state.phase in OPEN else "banner.offline"
            return "warning", "offline", self.tr(text), self.tr("common.again")
        if state.ended is not None and not self._is_shown(state.ended):
            variant, icon, text = _RESULT_BANNERS[receipts.shown_status(state.ended)]
            return variant, icon, self.tr(text), self.tr("banner.view")
        if state.other_window:
            return "warning", "alert", self.tr("banner.other_window"), self.tr("banner.check")
        page = self._loading_presenter()
        if page is not None and page.trouble_text and page.state == "ready":
            return "warning", "offline", page.trouble_text, self.tr("common.again")
        return "warning", "offline", "", ""

    def _banner_pressed(self) -> None:
        """Do what the banner's button says: show the result, or poll and reload."""
        state = self.context.state
        if state.ended is not None and state.online and not self._is_shown(state.ended):
            self.go("result")
            return
        if self.session.flow is not None:
            self.session.flow.check_now()
        self._refresh_shown()

    def _is_shown(self, payment: Payment) -> bool:
        """The payment is on the screen, so the banner need not report it."""
        return self.showing == "result" or (self.showing == "receipt" and self.receipt.payment_id == payment.id)

    def _loading_presenter(self) -> Any:
        return {"home": self.home, "pay": self.providers, "history": self.history}.get(self.showing)

    def _refresh_shown(self) -> None:
        page = self._loading_presenter()
        if page is not None and self.session.signed_in:
            page.refresh()

    # --- appearance, language and focus ---

    def _apply_appearance(self, *_args: object) -> None:
        """Apply the chosen theme, text size and reduced motion."""
        appearance.apply(self.context.preferences, self.system_dark)

    def _rebuild_screen(self, *_args: object) -> None:
        """Build the current screen again: the language or the layout changed."""
        if self.root is not None and self.showing:
            self.go(self.showing)

    def _relabel(self) -> None:
        for presenter in self._presenters():
            presenter.relabel()
        self._label_navigation()
        self._rebuild_screen()

    def _presenters(self) -> tuple[Any, ...]:
        named = (self.signin, self.home, self.providers, self.form, self.waiting, self.result, self.receipt)
        return (*named, self.history, self.settings_page)

    def _label_navigation(self) -> None:
        if self.root is not None:
            self.root.navigation_items = [(name, icon, self.tr(f"navigation.{name}")) for name, icon in NAVIGATION]

    def _focus_first(self, _seconds: float) -> None:
        if self.root is not None:
            self.root.focus_first()

    def _on_key(self, _window: Any, key: int, _scancode: Any = None, _text: Any = None, modifiers: Any = ()) -> bool:
        """Keys while no widget has the focus: Esc (and Android's back) goes back, Tab focuses the first widget."""
        if key == ESCAPE:
            if not self.root.sheets() and self.showing in ("home", "signin"):
                return self.showing == "signin" or not is_phone()
            self.root.go_back()
            return True
        if key == TAB:
            move_focus(None, backwards="shift" in (modifiers or ()), frame=self.root)
            return True
        return False

    # --- called by screens: `sheet.host.Host` ---

    is_sheet = False

    @property
    def wide(self) -> bool:
        return self.root is not None and bool(self.root.wide)

    def go_back(self) -> None:
        self.root.go_back()

    def open_sheet(self, sheet: FeexPaySheet) -> None:
        self.root.open_sheet(sheet)

    def group_amount(self, text: str) -> str:
        """Format an amount while the player types it."""
        amount = money.from_typed(text)
        return money.grouped(amount) if amount else ""


def _receipt(app: ClientApp) -> FeexPayResultScreen:
    return FeexPayResultScreen(vm=app.receipt, host=app, wide=app.wide, ending=False)


def _blank(app: ClientApp) -> Any:
    from feexpay_client.ui.shell import FeexPayScreen

    return FeexPayScreen(host=app)


_SCREENS: dict[str, Any] = {
    "start": _blank,
    "signin": lambda app: FeexPaySignInScreen(vm=app.signin, host=app, wide=app.wide),
    "home": lambda app: FeexPayHomeScreen(vm=app.home, host=app, wide=app.wide),
    "receipt": _receipt,
    "history": lambda app: FeexPayHistoryScreen(vm=app.history, host=app, wide=app.wide),
    "settings": lambda app: FeexPaySettingsScreen(vm=app.settings_page, host=app, wide=app.wide),
}
