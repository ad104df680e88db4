"""One payment in plain words: what was paid or why not, what it means for the money, and what can be done now."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client.core import dialling, phone, receipts
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment, PhoneRule, Provider
from feexpay_client.core.states import State
from feexpay_client.presenters.presenter import Presenter
from feexpay_client.presenters.providers import ProvidersPresenter

_LOOKS = {SUCCESSFUL: ("tick", "primary"), FAILED: ("cross", "danger")}


class PaymentPresenter(Presenter):
    """`shown` says which payment. It is asked anew at every word of the flow and never kept, so that what stands here
    cannot be about another payment. A retry is one of the payment shown, or none.
    """

    status = StringProperty("pending")
    unconfirmed = BooleanProperty(False)
    icon = StringProperty("clock")
    mood = StringProperty("warning")
    headline = StringProperty("")
    explanation = StringProperty("")
    amount_text = StringProperty("")
    facts = ListProperty()
    #: Values that are worth copying.
    copied = ListProperty()
    can_retry = BooleanProperty(False)
    can_follow = BooleanProperty(False)
    busy = BooleanProperty(False)
    checking = BooleanProperty(False)
    said = StringProperty("")
    notice = StringProperty("")
    #: What a retry needs from the payer: a new code where the first was refused, another number where they want to.
    asks_code = BooleanProperty(False)
    code = StringProperty("")
    code_error = StringProperty("")
    dial_advice = StringProperty("")
    asks_phone = BooleanProperty(False)
    may_change_phone = BooleanProperty(False)
    phone = StringProperty("")
    phone_error = StringProperty("")
    phone_prefix = StringProperty("")
    phone_example = StringProperty("")

    def __init__(self, titles: Any, providers: ProvidersPresenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._titles, self._providers = titles, providers
        self._typed_for = ""
        self.services.watch(self._follow)
        providers.bind(refreshing=self._catalogue_came)
        self.fbind("code", self._code_typed)
        self.fbind("phone", self._phone_typed)

    @property
    def shown(self) -> Payment | None:
        """The payment that this presenter is about; None: nothing is to be shown."""
        raise NotImplementedError

    @property
    def payment_id(self) -> str:
        return self.shown.id if self.shown else ""

    # --- what the payer does ---

    def retry(self) -> None:
        """Another attempt of this very payment; only where the server says that it may be."""
        payment, flow = self.shown, self.services.flow
        if payment is None or flow is None or not self.can_retry or not self._complete():
            return
        if self.services.state.ended is not payment:
            flow.follow(payment)
        code, self.code = "".join(self.code.split()) if self.asks_code else "", ""
        flow.retry(payment.id, self._full_phone() if self.asks_phone else "", code)

    def change_phone(self) -> None:
        """With another number than last time."""
        self.asks_phone, self.may_change_phone = True, False

    def group(self, text: str) -> str:
        """The number as its country writes it, while it is being typed."""
        rule = self._phone_rule()
        return phone.grouped(phone.national(text, rule), rule) if rule else text

    def check_now(self) -> None:
        if self.services.flow is not None:
            self.services.flow.check_now()

    def copy(self) -> None:
        if self.shown is not None:
            self.services.copy(self.text())
            self.said = self.tr("receipt.copied")

    def copy_fact(self, value: str) -> None:
        self.services.copy(value)
        self.said = self.tr("receipt.copied")

    def save(self, picture: Any) -> None:
        """The receipt as text and as the picture of the screen, in the payer's folder of documents."""
        if self.shown is not None:
            self.spawn(self._save(self.shown.id, self.text(), picture))

    async def _save(self, payment_id: str, text: str, picture: Any) -> None:
        try:
            folder = await self.services.save_receipt(payment_id, text, picture)
        except OSError:
            told = self.tr("receipt.not_saved")
        else:
            told = self.tr("receipt.saved", folder=folder)
        if payment_id == self.payment_id:
            self.said = told

    def text(self) -> str:
        """The receipt in words."""
        payment = self.shown
        if payment is None:
            return ""
        title = self.tr("receipt.heading", headline=self.headline, amount=self.amount_text)
        return receipts.as_text(payment, self.session.texts, title, self.services.zone)

    # --- what becomes of it ---

    def relabel(self) -> None:
        payment, state = self.shown, self.services.state
        self.can_retry = payment is not None and payment.can_retry and self._may_take_over(payment, state)
        self.can_follow = payment is not None and not payment.settled and self._may_take_over(payment, state)
        if payment is None:
            return
        if payment.id != self._typed_for:
            self._typed_for = payment.id
            self.said = self.code = self.phone = ""
            self.asks_phone = False
        self.status = payment.status if payment.settled else "pending"
        self.unconfirmed = payment.unconfirmed
        told = receipts.told(payment)
        self.icon, self.mood = _LOOKS.get(told, ("clock", "warning"))
        self.headline = self.tr(f"result.{told}")
        self.amount_text = self.services.money(payment.charged_amount, payment.charged_currency)
        self.explanation = self._explain(payment)
        self.copied = [value for value in (payment.reference, payment.id) if value]
        self.facts = receipts.lines(payment, self.session.texts, self.services.zone)
        self._ask_for(payment)

    def _follow(self, state: State) -> None:
        self.busy, self.checking = state.busy, state.asking == "status"
        self.relabel()

    def _catalogue_came(self, *_args: object) -> None:
        self.relabel()

    def _may_take_over(self, payment: Payment, state: State) -> bool:
        """The flow can attend to it: to this one it does already, or no other is open."""
        ours = state.payment is not None and state.payment.id == payment.id
        return ours or state.can_attend

    def _explain(self, payment: Payment) -> str:
        if payment.status == SUCCESSFUL:
            title = self._titles(payment)
            return self.tr("result.credited", title=title) if title else self.tr("result.credited_plain")
        if payment.unconfirmed:
            return self.tr("result.unconfirmed_what_now")
        if payment.status == FAILED:
            return payment.reason.message if payment.reason else self.tr("result.failed_plain")
        return self.tr("result.pending_plain")

    # --- what a retry needs ---

    def _ask_for(self, payment: Payment) -> None:
        provider, wrong = self._provider(payment), self._problems()
        dials = provider is not None and dialling.wants_code_first(provider)
        self.asks_code = self.can_retry and (dials or "otp" in wrong)
        self.dial_advice = dialling.filled(provider.instructions, payment.charged_amount) if provider else ""
        rule = self._phone_rule()
        has_number = self.can_retry and rule is not None and rule.required
        self.asks_phone = has_number and (self.asks_phone or "phone" in wrong)
        self.may_change_phone = has_number and not self.asks_phone
        self.phone_prefix = f"+{rule.calling_code}" if rule and rule.calling_code else ""
        self.phone_example = phone.grouped(rule.example, rule) if rule else ""
        self.code_error = wrong.get("otp", self.code_error if self.asks_code else "")
        self.phone_error = wrong.get("phone", self.phone_error if self.asks_phone else "")

    def _problems(self) -> dict[str, str]:
        """What the server found wrong with the last retry of the payment shown: by field, in its words."""
        state = self.services.state
        ours = state.ended is not None and state.ended.id == self.payment_id
        return {problem.field: problem.message for problem in state.problems} if ours else {}

    def _complete(self) -> bool:
        self.code_error = self.tr("form.code_missing") if self.asks_code and not self.code.strip() else ""
        rule = self._phone_rule()
        wrong = phone.problem(self.phone, rule) if self.asks_phone and rule else ""
        self.phone_error = self.tr(f"phone.{wrong}") if wrong else ""
        return not (self.code_error or self.phone_error)

    def _code_typed(self, *_args: object) -> None:
        self.code_error = ""

    def _phone_typed(self, *_args: object) -> None:
        self.phone_error = ""

    def _provider(self, payment: Payment) -> Provider | None:
        return self._providers.get(payment.provider)

    def _phone_rule(self) -> PhoneRule | None:
        provider = self._provider(self.shown) if self.shown else None
        return provider.phone if provider else None

    def _full_phone(self) -> str:
        """With the country in front, so that the server need not guess."""
        return phone.international(self.phone, self._phone_rule())
