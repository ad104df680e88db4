"""The app: makes the presenters, decides which screen is shown, and keeps what the system says away from them."""

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
from feexpay_client.core.models import FAILED, Payment
from feexpay_client.core.session import Session
from feexpay_client.core.states import FORM, OPEN, SETTLED, Phase, State
from feexpay_client.presenters.app_context import AppContext
from feexpay_client.presenters.form import FormPresenter
from feexpay_client.presenters.history import HistoryPresenter
from feexpay_client.presenters.home import HomePresenter
from feexpay_client.presenters.providers import ProvidersPresenter
from feexpay_client.presenters.result import ReceiptPresenter, ResultPresenter
from feexpay_client.presenters.settings import SettingsPresenter
from feexpay_client.presenters.signin import SignInPresenter
from feexpay_client.presenters.tasks import Tasks
from feexpay_client.presenters.waiting import WaitingPresenter
from feexpay_client.presenters.words import words
from feexpay_client.ui import appearance, widgets  # noqa: F401 -- makes the widgets known to kv
from feexpay_client.ui.input_mode import input_mode
from feexpay_client.ui.screens.history import HistoryScreen
from feexpay_client.ui.screens.home import HomeScreen
from feexpay_client.ui.screens.pay import PayScreen
from feexpay_client.ui.screens.result import ResultScreen
from feexpay_client.ui.screens.settings import SettingsScreen
from feexpay_client.ui.screens.signin import SignInScreen
from feexpay_client.ui.screens.status import StatusScreen
from feexpay_client.ui.shell import Shell
from feexpay_client.ui.teardown import tear_down
from feexpay_client.ui.widgets.button import TextButton
from feexpay_client.ui.widgets.focus import move_focus
from feexpay_client.ui.widgets.sheet import Sheet
from feexpay_client.ui.widgets.text import Text

#: Colour, sign and words of the banner about a payment that ended while the payer was elsewhere in the app.
_ENDS = {
    "successful": ("primary", "tick", "banner.succeeded"),
    "failed": ("danger", "alert", "banner.failed"),
    "unconfirmed": ("warning", "alert", "banner.unconfirmed"),
}
NAVIGATION = (("home", "bag"), ("history", "list"), ("settings", "sliders"))
#: Where Esc and the arrow lead.
_BACK = {"pay": "home", "status": "home", "result": "home", "receipt": "history", "history": "home", "settings": "home"}


class ClientApp(App):
    """Everything it needs is given to it: the session of core, and where receipts are kept."""

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
    ) -> None:
        super().__init__()
        self.tasks = Tasks()
        self.session = session
        self.system_dark = system_dark
        self.services = AppContext(session, self.tasks, copy, documents, now, zone)
        session.on_change = self._account_changed
        words.use_texts(session.texts)
        session.texts.subscribe(self._relabel)
        self.tr = session.texts
        self.showing = ""
        self._wanted = ""
        self._owner = ""
        self._phase = Phase.EDITING
        self._make_presenters()

    def _make_presenters(self) -> None:
        services = self.services
        self.signin = SignInPresenter(services=services)
        self.home = HomePresenter(services=services)
        self.providers = ProvidersPresenter(services=services)
        self.form = FormPresenter(self.providers, services=services)
        self.waiting = WaitingPresenter(self.providers, services=services)
        self.result = ResultPresenter(self.home.title_of, self.providers, services=services)
        self.receipt = ReceiptPresenter(self.home.title_of, self.providers, services=services)
        self.history = HistoryPresenter(self.providers, self.home, services=services)
        self.settings_page = SettingsPresenter(services=services)
        services.watch(self._follow)
        self.home.bind(packs=lambda *_: (self.result.relabel(), self.receipt.relabel()))
        self.home.bind(on_chosen=self._begin, trouble_text=self._show_banner)
        for page in (self.history, self.providers):
            page.bind(trouble_text=self._show_banner)
        for name in ("theme", "text_size", "still"):
            self.settings_page.fbind(name, self._dress)

    # --- living ---

    def build(self) -> Shell:
        self._dress()
        shell = Shell(go=self.go)
        shell.bind(wide=self._again, on_back=lambda *_: self.back(), on_banner=lambda *_: self._retry_loading())
        Window.bind(on_keyboard=self._on_key, on_touch_down=self._on_touch)
        Window.softinput_mode = "below_target"  # the keyboard of a phone does not hide what is written in
        self.root = shell
        self._label_places()
        self.go("start")
        return shell

    def on_start(self) -> None:
        self.tasks.spawn(self._start())

    async def _start(self) -> None:
        if not await self.session.start():
            self._account_changed()

    def on_pause(self) -> bool:
        return True

    def on_resume(self) -> None:
        """Back in the foreground: Android may have dropped what was drawn, and the payment may have ended."""
        Window.update_viewport()
        if self.session.flow is not None:
            self.session.flow.check_now()
        self._refresh_shown()

    def on_stop(self) -> None:
        Window.unbind(on_keyboard=self._on_key, on_touch_down=self._on_touch)
        self._leave_screen()
        if self.root is not None:
            tear_down(self.root)
        self.tasks.cancel()

    async def close(self) -> None:
        """After the window is gone: nothing is lost."""
        self.tasks.cancel()
        await self.session.close()

    # --- which screen ---

    def go(self, name: str) -> None:
        """That screen, anew. Without a session every way leads to signing in, and from there on to it."""
        if not self.session.signed_in and name not in ("signin", "start"):
            self._wanted, name = name, "signin"
        name = self._fitting(name)
        self._leave_screen()
        self.showing = name
        shell = self.root
        shell.with_places = name in dict(NAVIGATION) or (shell.wide and name not in ("signin", "start"))
        shell.place = {"pay": "home", "status": "home", "result": "home", "receipt": "history"}.get(name, name)
        shell.show(_SCREENS[name](self))
        self._show_banner()
        self._refresh_shown()
        Clock.schedule_once(self._first_focus, 0)

    def _fitting(self, name: str) -> str:
        """The screens of the flow's own payment show that one, or are not shown."""
        state = self.services.state
        if name == "status" and state.phase not in OPEN:
            name = "result"
        if name == "result" and state.ended is None:
            name = "status" if state.phase in OPEN else "home"
        return name

    def back(self) -> None:
        """One step back. From the first screen nowhere: leaving the app is the window's business."""
        if self.showing == "pay" and not self.root.wide and not self.root.screen.picking:
            self.root.screen.picking = True
        elif self.showing == "result":
            self.finish_payment()
        elif self.showing in _BACK:
            self.go(_BACK[self.showing])

    def leave_payment(self) -> None:
        """The payer goes elsewhere; the flow keeps checking."""
        self.go("home")

    def pick_provider(self) -> None:
        if self.showing == "pay" and not self.root.wide:
            self.root.screen.picking = True

    def finish_payment(self) -> None:
        """Done: the next one starts from an empty form; what failed may be paid another way at once."""
        ended, flow = self.result.shown, self.session.flow
        if flow is not None and ended is not None:
            flow.new()
        if ended is None or ended.status != FAILED:
            self.go("home")
            return
        title = self.home.title_of(ended) or self.tr("home.free_title")
        self.form.begin(ended.amount, ended.currency, dict(ended.metadata), title)
        self.go("pay")

    def follow_payment(self) -> None:
        """A payment of the history that is not settled: watch it live."""
        payment, flow = self.receipt.shown, self.session.flow
        if payment is None or flow is None:
            return
        if not (self.services.state.open and self.services.state.payment == payment):
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
        """Asked once more, because a payment may be open."""
        sheet = Sheet(title=self.tr("signout.title"))
        about = self.tr("signout.open") if self.waiting.open else self.tr("signout.text")
        yes = TextButton(text=self.tr("settings.sign_out"), kind="danger")
        no = TextButton(text=self.tr("common.cancel"), kind="secondary")
        yes.bind(on_release=lambda *_: (sheet.close(), self.settings_page.sign_out()))
        no.bind(on_release=lambda *_: sheet.close())
        for part in (Text(text=about, tone="muted"), yes, no):
            sheet.add_widget(part)
        self.root.open_sheet(sheet)

    # --- what happens ---

    def _account_changed(self) -> None:
        """Follow the account after a sign-in, a sign-out or the end of the session."""
        self.services.rewatch()
        for page in (self.signin, self.settings_page):
            page.relabel()
        if self.root is None:
            return
        if not self.session.signed_in:
            ended = self.session.flow is not None
            self.signin.again = ended
            if self.showing != "signin":
                self._wanted = self.showing if ended else ""
                self.go("signin")
            return
        self._welcome()

    def _welcome(self) -> None:
        """Signed in: to the payment under way, else to where the payer was, else home."""
        if self.session.username != self._owner:
            self._owner = self.session.username
            self.home.forget()
            self.history.forget()
            self.receipt.show(None)
        self.providers.show()
        self.providers.refresh()
        wanted, self._wanted = self._wanted, ""
        state = self.services.state
        if state.phase in OPEN:
            wanted = "status"
        elif state.phase in SETTLED:
            wanted = "result"
        elif wanted in ("", "start", "signin", "status", "result", "receipt"):
            wanted = "home"
        self.go(wanted)

    def _follow(self, state: State) -> None:
        """The flow moved on: the payer sees it where they are, and is never thrown out of another place."""
        before, self._phase = self._phase, state.phase
        if self.root is None or state.phase is before or not self.session.signed_in:
            self._show_banner()
            return
        if state.phase in OPEN and self.showing in ("pay", "result", "receipt"):
            self.go("status")
        elif state.phase in SETTLED and self.showing in ("status", "pay"):
            self.go("result")
        elif state.phase in FORM and self.showing in ("status", "result"):
            self.go("pay" if state.draft.priced else "home")
        if state.phase in SETTLED and before in OPEN:
            self.home.refresh()
        self._show_banner()

    def _begin(self, _home: Any, amount: int, currency: str, metadata: dict[str, Any], title: str) -> None:
        """Something was chosen. While a payment is open it comes first."""
        if self.waiting.open:
            self.go("status")
            return
        if self.services.state.phase in SETTLED and self.session.flow is not None:
            self.session.flow.new()
        self.form.begin(amount, currency, metadata, title)
        self.go("pay")

    def _show_banner(self, *_args: object) -> None:
        """The most urgent word, or none."""
        if self.root is None:
            return
        mood, icon, text, action = self._banner()
        shell = self.root
        shell.banner_mood, shell.banner_icon, shell.banner_action, shell.banner_text = mood, icon, action, text

    def _banner(self) -> tuple[str, str, str, str]:
        state = self.services.state
        if self.showing in ("signin", "start"):
            return "warning", "offline", "", ""
        if not state.online:
            text = "banner.offline_open" if state.phase in OPEN else "banner.offline"
            return "warning", "offline", self.tr(text), self.tr("common.again")
        if state.ended is not None and not self._shows(state.ended):
            mood, icon, text = _ENDS[receipts.told(state.ended)]
            return mood, icon, self.tr(text), self.tr("banner.look")
        if state.elsewhere:
            return "warning", "alert", self.tr("banner.elsewhere"), self.tr("banner.check")
        page = self._page()
        if page is not None and page.trouble_text and page.state == "ready":
            return "warning", "offline", page.trouble_text, self.tr("common.again")
        return "warning", "offline", "", ""

    def _retry_loading(self) -> None:
        """The word in the banner was pressed."""
        state = self.services.state
        if state.ended is not None and state.online and not self._shows(state.ended):
            self.go("result")
            return
        if self.session.flow is not None:
            self.session.flow.check_now()
        self._refresh_shown()

    def _shows(self, payment: Payment) -> bool:
        """That payment is on the screen: the banner need not tell of it."""
        return self.showing == "result" or (self.showing == "receipt" and self.receipt.payment_id == payment.id)

    def _page(self) -> Any:
        return {"home": self.home, "pay": self.providers, "history": self.history}.get(self.showing)

    def _refresh_shown(self) -> None:
        page = self._page()
        if page is not None and self.session.signed_in:
            page.refresh()

    # --- how it looks ---

    def _dress(self, *_args: object) -> None:
        """Colours, text size and stillness as chosen; what is on the screen follows by itself."""
        appearance.dress(self.services.preferences, self.system_dark)

    def _again(self, *_args: object) -> None:
        """The same screen anew: another language, or room for another layout."""
        if self.root is not None and self.showing:
            self.go(self.showing)

    def _relabel(self) -> None:
        for presenter in self._presenters():
            presenter.relabel()
        self._label_places()
        self._again()

    def _presenters(self) -> tuple[Any, ...]:
        named = (self.signin, self.home, self.providers, self.form, self.waiting, self.result, self.receipt)
        return (*named, self.history, self.settings_page)

    def _label_places(self) -> None:
        if self.root is not None:
            self.root.places = [(name, icon, self.tr(f"place.{name}")) for name, icon in NAVIGATION]

    def _leave_screen(self) -> None:
        screen = self.root.screen if self.root is not None else None
        if screen is not None and hasattr(screen, "leave"):
            screen.leave()

    def _first_focus(self, _seconds: float) -> None:
        screen = self.root.screen if self.root is not None else None
        first = screen.first_focus() if screen is not None else None
        if first is not None and first.get_root_window() is not None:
            first.take_focus()

    def _on_key(self, _window: Any, key: int, _scancode: Any = None, _text: Any = None, modifiers: Any = ()) -> bool:
        """Keys while nothing has the focus: Esc (and Android's back) goes back, Tab begins at the first thing."""
        if key == 27:
            if not self.root.sheets() and self.showing in ("home", "signin"):
                return self.showing == "signin" or not _is_phone()
            self.root.go_back()
            return True
        if key == 9:
            move_focus(None, backwards="shift" in (modifiers or ()))
            return True
        return False

    def _on_touch(self, _window: Any, touch: Any) -> bool:
        if not getattr(touch, "is_mouse_scrolling", False):
            input_mode.keyboard = False
        return False

    # --- small services for screens ---

    def group_amount(self, text: str) -> str:
        """An amount while it is typed."""
        amount = money.from_typed(text)
        return money.grouped(amount) if amount else ""

    def picture_of(self, widget: Any) -> Any:
        """A widget as it is drawn, as an image of PIL, on the ground of the theme."""
        return appearance.picture_of(widget)


def _is_phone() -> bool:
    from kivy.utils import platform

    return platform in ("android", "ios")


def _receipt(app: ClientApp) -> ResultScreen:
    return ResultScreen(vm=app.receipt, app=app, wide=app.root.wide, ending=False)


def _blank(app: ClientApp) -> Any:
    from feexpay_client.ui.shell import Screen

    return Screen(app=app)


_SCREENS: dict[str, Any] = {
    "start": _blank,
    "signin": lambda app: SignInScreen(vm=app.signin, app=app, wide=app.root.wide),
    "home": lambda app: HomeScreen(vm=app.home, app=app, wide=app.root.wide),
    "pay": lambda app: PayScreen(vm=app.form, app=app, wide=app.root.wide),
    "status": lambda app: StatusScreen(vm=app.waiting, app=app, wide=app.root.wide),
    "result": lambda app: ResultScreen(vm=app.result, app=app, wide=app.root.wide, ending=True),
    "receipt": _receipt,
    "history": lambda app: HistoryScreen(vm=app.history, app=app, wide=app.root.wide),
    "settings": lambda app: SettingsScreen(vm=app.settings_page, app=app, wide=app.root.wide),
}
