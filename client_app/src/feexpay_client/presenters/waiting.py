"""An open payment: what happens, what the payer must do, and how long it may take."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, StringProperty

from feexpay_client.core import dialling, phone
from feexpay_client.core.models import Payment, Provider
from feexpay_client.core.states import FOLLOWING, OPEN, Phase, State
from feexpay_client.core.system_locale import is_phone
from feexpay_client.presenters.presenter import Presenter
from feexpay_client.presenters.providers import ProvidersPresenter

#: A prompt usually arrives within this time. Later the screen shows what to try.
NOTHING_RECEIVED_SECONDS = 30.0
_CODE_LENGTHS = range(4, 9)


class WaitingPresenter(Presenter):
    """`kind` chooses the icon and texts: sending, unknown, phone, code, page, checking or overdue."""

    kind = StringProperty("sending")
    headline = StringProperty("")
    advice = StringProperty("")
    amount_text = StringProperty("")
    payee_text = StringProperty("")
    bought_text = StringProperty("")
    phone_text = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    time_left = StringProperty("")
    has_time = BooleanProperty(False)
    #: The share of the time that is left, going from 1 to 0.
    share = NumericProperty(1)
    dial = StringProperty("")
    can_call = BooleanProperty(False)
    nothing_received = BooleanProperty(False)
    help_title = StringProperty("")
    help_text = StringProperty("")
    #: What happens after a payment was asked of a wrong number; empty while that is not shown.
    wrong_number = StringProperty("")
    feedback = StringProperty("")
    last_check = StringProperty("")
    checking = BooleanProperty(False)
    online = BooleanProperty(True)
    notice = StringProperty("")
    code = StringProperty("")
    code_error = StringProperty("")
    code_busy = BooleanProperty(False)
    page_url = StringProperty("")
    page_text = StringProperty("")
    page_opened = BooleanProperty(True)
    can_cancel = BooleanProperty(False)
    can_set_aside = BooleanProperty(False)
    open = BooleanProperty(False)

    def __init__(self, providers: ProvidersPresenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._providers = providers
        self.can_call = is_phone()
        self._waiting_since: float | None = None
        self._whole_time = 0.0
        self._running_request = 0
        self._ticker: Any = None
        self.context.subscribe(self._follow)
        self.fbind("code", self._typed)

    # --- what the payer does ---

    def check_now(self) -> None:
        if self.context.flow is not None:
            self.context.flow.check_now()

    def enter_code(self) -> None:
        code = "".join(self.code.split())
        if len(code) not in _CODE_LENGTHS or not code.isalnum():
            self.code_error = self.tr("waiting.code_wrong")
        elif self.context.flow is not None and not self.code_busy:
            self.context.flow.enter_otp(code)

    def open_page(self) -> None:
        if self.context.flow is not None:
            self.context.flow.open_page()

    def copy_page(self) -> None:
        self._copy(self.page_url)

    def copy_dial(self) -> None:
        self._copy(self.dial)

    def _copy(self, text: str) -> None:
        self.context.copy(text)
        self.feedback = self.tr("receipt.copied")

    def call(self) -> None:
        """Open the phone's dialler with the code in it."""
        self.context.open_link(f"tel:{quote(self.dial, safe='*')}")

    def cancel(self) -> None:
        if self.context.flow is not None:
            self.context.flow.cancel()

    def set_aside(self) -> None:
        if self.context.flow is not None:
            self.context.flow.new()

    def stop(self) -> None:
        """Stop counting: the screens are gone, and the payment goes on without them."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    # --- what the screen shows ---

    def relabel(self) -> None:
        self._follow(self.context.state)

    def _typed(self, *_args: object) -> None:
        self.code_error = ""

    def _follow(self, state: State) -> None:
        self.open = state.phase in OPEN
        self._note_check(state)
        self._start_or_stop_ticker(state)
        if not self.open:
            self.code = self.last_check = self.feedback = ""
            return
        self.kind = _KINDS[state.phase]
        self._show_payment(state)
        self.online = state.online
        self.checking = state.request_kind in ("status", "search")
        # While offline, the banner above every screen already says so.
        self.notice = self.context.notice(state) if state.online else ""
        self.can_cancel, self.can_set_aside = state.can_cancel, state.can_set_aside
        self.code_busy = state.request_kind == "otp"
        if state.problems and self.kind == "code":
            self.code_error = state.problems[0].message
        self._tick(0)

    def _show_payment(self, state: State) -> None:
        payment = state.payment
        code = payment.provider if payment else state.draft.provider
        provider = self._providers.get(code)
        name = self._providers.name_of(provider) if provider else payment.provider_name if payment else ""
        amount, currency = _asked_of_payer(state)
        self.amount_text = self.context.money(amount, currency) if amount else ""
        self.phone_text = self._number(state, provider)
        self.payee_text = " · ".join(filter(None, (name, self.phone_text)))
        self.monogram = provider.badge.monogram if provider else name[:2].upper()
        self.color = provider.badge.color if provider else ""
        item = self.context.title_of(payment or state.draft)
        self.bought_text = " · ".join(filter(None, (item, self.context.shop_name)))
        self.page_url = (payment.redirect_url or "") if payment else ""
        self.page_text = self.tr("waiting.page_open", wallet=name)
        self.page_opened = state.page_opened
        instructions = dialling.filled(provider.instructions, amount) if provider else ""
        self.dial = dialling.code_in(instructions) if self.kind in ("phone", "code") else ""
        self._set_headline(state, payment, instructions)
        self._show_help(state)

    def _number(self, state: State, provider: Provider | None) -> str:
        """The number in full, if it was typed on this device; the server only sends it masked."""
        if state.payment is None:
            typed = state.draft.phone
            return phone.in_groups(typed, provider.phone) if typed and provider is not None else ""
        masked, typed = state.payment.phone or "", self.context.preferences.phone
        if provider is not None and phone.fits_mask(typed, masked):
            return phone.in_groups(typed, provider.phone)
        return masked

    def _show_help(self, state: State) -> None:
        """What to try if nothing arrives, and what becomes of a payment that was asked of a wrong number."""
        ends = state.payment.expires_at if state.payment is not None else None
        time = self.context.time_text(ends) if ends else ""
        places = {"phone": self.phone_text, "code": self.dial, "time": time, "wallet": self.page_text}
        keys = _HELP.get(self.kind, ())
        if self.kind == "phone":
            keys = (*keys, "waiting.help_dial" if self.dial else "waiting.help_menu")
        ending = ("waiting.help_end" if time else "waiting.help_end_unknown",) if keys else ()
        self.help_title = self.tr("waiting.nothing_title_page" if self.kind == "page" else "waiting.nothing_title")
        self.help_text = "\n".join(self.tr(key, **places) for key in (*keys, *ending))
        asked = self.kind in ("phone", "code") and bool(self.phone_text) and bool(time)
        asked = asked and not self._overdue(state)  # the text tells what happens until the request expires
        self.wrong_number = self.tr("waiting.wrong_number_text", **places) if asked else ""

    def _set_headline(self, state: State, payment: Payment | None, instructions: str) -> None:
        topic = self.kind
        if self.kind == "checking" and payment is not None and payment.detail in ("under_review", "queued"):
            topic = payment.detail
        if self._overdue(state):
            topic = "overdue"
        if not state.signed_in:
            topic = "signed_out"
        self.headline = self.tr(f"waiting.{topic}_headline")
        provider_advice = instructions if topic in ("phone", "code") and instructions else ""
        self.advice = provider_advice or self.tr(
            f"waiting.{topic}_advice", provider=payment.provider_name if payment else ""
        )

    def _note_check(self, state: State) -> None:
        """Show the time of the last answer."""
        answered = self._running_request and not state.request and state.online and state.failures == 0
        if answered and state.phase in FOLLOWING:
            self.last_check = self.tr("waiting.last_check", time=self.context.clock_text())
        self._running_request = state.request

    def _start_or_stop_ticker(self, state: State) -> None:
        waiting = state.phase in (Phase.WAITING, Phase.OTP, Phase.REDIRECT)
        if not waiting:
            self._waiting_since, self.nothing_received, self._whole_time = None, False, 0.0
        elif self._waiting_since is None:
            self._waiting_since = self.context.monotonic
        if self.open and self._ticker is None:
            self._ticker = Clock.schedule_interval(self._tick, 1)
        elif not self.open and self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def _tick(self, _seconds: float) -> None:
        """Update the countdown from the clock. Counting ticks would be wrong: a sleeping phone skips them."""
        state, now = self.context.state, self.context.monotonic
        left = state.seconds_left(now)
        self.has_time = left is not None and left > 0 and self.kind in ("phone", "code", "page")
        self._whole_time = max(self._whole_time, _whole_time(state), left or 0.0)
        self.share = left / self._whole_time if left and self._whole_time else 0
        self.time_left = "" if left is None else f"{int(left) // 60}:{int(left) % 60:02d}"
        overdue = self.open and self._overdue(state)
        waited = self._waiting_since is not None and now - self._waiting_since >= NOTHING_RECEIVED_SECONDS
        self.nothing_received = waited and not overdue
        if overdue:
            self.kind = "overdue" if self.kind == "phone" else self.kind
            self.wrong_number = ""
            self.headline = self.tr("waiting.overdue_headline")
            self.advice = self.tr("waiting.overdue_advice")

    def _overdue(self, state: State) -> bool:
        return state.overdue(self.context.monotonic)


def _whole_time(state: State) -> float:
    """The time that the payer had from the start; only a first attempt shows it, because a retry began later."""
    payment = state.payment
    if payment is None or payment.expires_at is None or payment.attempt_count > 1:
        return 0.0
    return (payment.expires_at - payment.created_at).total_seconds()


def _asked_of_payer(state: State) -> tuple[int, str]:
    """The amount that the payer's phone shows and its currency, with the fee if the payer pays it."""
    if state.payment is not None:
        return state.payment.charged_amount, state.payment.charged_currency
    if state.quote is not None:
        return state.quote.total, state.quote.charged_currency
    return state.draft.amount, state.draft.currency


_HELP = {
    "phone": ("waiting.help_phone", "waiting.help_signal"),
    "code": ("waiting.help_phone", "waiting.help_sms"),
    "page": ("waiting.help_page", "waiting.help_link"),
}
_KINDS = {
    Phase.SUBMITTING: "sending",
    Phase.UNKNOWN: "unknown",
    Phase.WAITING: "phone",
    Phase.OTP: "code",
    Phase.REDIRECT: "page",
    Phase.CHECKING: "checking",
}
