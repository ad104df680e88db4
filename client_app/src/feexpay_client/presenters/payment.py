"""One payment in plain words: its result, what it means for the money, what to do next."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client.core import dialling, phone, receipts, sharing
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment, PhoneRule, Provider
from feexpay_client.core.states import State
from feexpay_client.presenters.presenter import Presenter
from feexpay_client.presenters.providers import ProvidersPresenter

_ICONS = {SUCCESSFUL: ("tick", "primary"), FAILED: ("cross", "danger")}


class PaymentPresenter(Presenter):
    """Base of the result and the receipt.

    `shown` is computed at every change of the flow and never stored, so the screen cannot show another payment.
    `retry` only retries the payment shown.
    """

    status = StringProperty("pending")
    unconfirmed = BooleanProperty(False)
    icon = StringProperty("clock")
    variant = StringProperty("warning")
    headline = StringProperty("")
    explanation = StringProperty("")
    amount_text = StringProperty("")
    facts = ListProperty()
    #: Facts that only the shop's support asks for, folded away.
    details = ListProperty()
    details_shown = BooleanProperty(False)
    #: Who was paid and for what.
    bought_text = StringProperty("")
    shop_name = StringProperty("")
    retry_text = StringProperty("")
    #: The balance after this purchase; empty while it is not known.
    balance_text = StringProperty("")
    can_share = BooleanProperty(False)
    #: Values that get a copy button.
    copied = ListProperty()
    can_retry = BooleanProperty(False)
    can_follow = BooleanProperty(False)
    busy = BooleanProperty(False)
    checking = BooleanProperty(False)
    feedback = StringProperty("")
    notice = StringProperty("")
    #: What a retry needs from the payer: a new code if the first was refused; another number if the payer wants one.
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
        self._fields_of = ""
        self.shop_name = self.context.shop_name
        self.can_share = sharing.can_share()
        self.context.subscribe(self._follow)
        providers.bind(refreshing=self._catalogue_refreshed)
        self.fbind("code", self._code_typed)
        self.fbind("phone", self._phone_typed)

    @property
    def shown(self) -> Payment | None:
        """The payment to show, or None."""
        raise NotImplementedError

    @property
    def payment_id(self) -> str:
        return self.shown.id if self.shown else ""

    # --- what the payer does ---

    def retry(self) -> None:
        """Start another attempt of the payment shown, if the server allows it."""
        payment, flow = self.shown, self.context.flow
        if payment is None or flow is None or not self.can_retry or not self._complete():
            return
        if self.context.state.ended is not payment:
            flow.follow(payment)
        code, self.code = "".join(self.code.split()) if self.asks_code else "", ""
        number = self._full_phone() if self.asks_phone else ""
        if number:
            self.context.remember(phone=number)
        flow.retry(payment.id, number, code)

    def change_phone(self) -> None:
        """Show the field for another phone number."""
        self.asks_phone, self.may_change_phone = True, False

    def group(self, text: str) -> str:
        """Group the digits as this country does, while the payer types."""
        rule = self._phone_rule()
        return phone.as_typed(text, rule) if rule else text

    def check_now(self) -> None:
        if self.context.flow is not None:
            self.context.flow.check_now()

    def copy(self) -> None:
        if self.shown is not None:
            self.context.copy(self.text())
            self.feedback = self.tr("receipt.copied")

    def copy_fact(self, value: str) -> None:
        self.context.copy(value)
        self.feedback = self.tr("receipt.copied")

    def share(self) -> None:
        """Send the receipt's text with another app."""
        sharing.share_text(self.text(), self.tr("receipt.share"))

    def save(self, picture: Any) -> None:
        """Save the receipt as text and picture in the payer's documents folder."""
        if self.shown is not None:
            self.spawn(self._save(self.shown.id, self.text(), picture))

    async def _save(self, payment_id: str, text: str, picture: Any) -> None:
        try:
            folder = await self.context.save_receipt(payment_id, text, picture)
        except OSError:
            status = self.tr("receipt.not_saved")
        else:
            status = self.tr("receipt.saved", folder=folder)
        if payment_id == self.payment_id:
            self.feedback = status

    def text(self) -> str:
        """The receipt as plain text."""
        payment = self.shown
        if payment is None:
            return ""
        title = self.tr("receipt.heading", headline=self.headline, amount=self.amount_text)
        return receipts.as_text(payment, self.session.texts, title, self.context.zone, self._bought(payment))

    def _bought(self, payment: Payment) -> receipts.Bought:
        provider = self._provider(payment)
        name = self._providers.name_of(provider) if provider else ""
        return receipts.Bought(self.context.shop_name, self._titles(payment), name)

    def toggle_details(self) -> None:
        self.details_shown = not self.details_shown

    # --- what the screen shows ---

    def relabel(self) -> None:
        payment, state = self.shown, self.context.state
        self.can_retry = payment is not None and payment.can_retry and self._flow_can_show(payment, state)
        self.can_follow = payment is not None and not payment.settled and self._flow_can_show(payment, state)
        if payment is None:
            return
        if payment.id != self._fields_of:
            self._fields_of = payment.id
            self.feedback = self.code = self.phone = ""
            self.asks_phone = self.details_shown = False
        self.status = payment.status if payment.settled else "pending"
        self.unconfirmed = payment.unconfirmed
        status = receipts.shown_status(payment)
        self.icon, self.variant = _ICONS.get(status, ("clock", "warning"))
        self.headline = self.tr(f"result.{status}")
        self.amount_text = self.context.money(payment.charged_amount, payment.charged_currency)
        self.explanation = self._explain(payment)
        self.copied = [value for value in (payment.reference, payment.id) if value]
        bought = self._bought(payment)
        self.bought_text = " · ".join(filter(None, (bought.item, bought.shop)))
        self.facts, self.details = receipts.folded(payment, self.session.texts, self.context.zone, bought)
        self._show_retry_fields(payment)

    def _follow(self, state: State) -> None:
        self.busy, self.checking = state.busy, state.request_kind == "status"
        self.relabel()

    def _catalogue_refreshed(self, *_args: object) -> None:
        self.relabel()

    def _flow_can_show(self, payment: Payment, state: State) -> bool:
        """Whether the flow already holds this payment, or holds no open one."""
        ours = state.payment is not None and state.payment.id == payment.id
        return ours or state.can_be_replaced

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

    def _show_retry_fields(self, payment: Payment) -> None:
        provider, wrong = self._provider(payment), self._problems()
        dials = provider is not None and dialling.wants_code_first(provider)
        self.asks_code = self.can_retry and (dials or "otp" in wrong)
        sends_code = provider is not None and provider.flow == "otp" and not dials
        self.retry_text = self.tr("result.new_code" if sends_code else "result.retry")
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
        """The server's messages about the last retry of the payment shown, by field."""
        state = self.context.state
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
        """Add the country code, so that the server need not guess it."""
        return phone.international(self.phone, self._phone_rule())
