"""How it ended, in plain words: what was paid or why not, what to do, and the receipt to keep."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client.core import receipts
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment
from feexpay_client.core.states import SETTLED, State
from feexpay_client.presenters.presenter import Presenter


class ResultPresenter(Presenter):
    """Shows one payment: the one that just ended, or one out of the history."""

    status = StringProperty("pending")
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
    said = StringProperty("")
    notice = StringProperty("")
    current = BooleanProperty(False)

    def __init__(self, titles: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._titles = titles
        self._payment: Payment | None = None
        self.services.watch(self._follow)

    @property
    def payment_id(self) -> str:
        return self._payment.id if self._payment else ""

    def show(self, payment: Payment, *, current: bool = False) -> None:
        """That payment, from now on. `current`: the flow holds it too."""
        self._payment, self.current, self.said = payment, current, ""
        self.relabel()

    def retry(self) -> None:
        """Another attempt of this very payment; only where the server says that it may be."""
        if self.can_retry and self._payment is not None and self.services.flow is not None:
            if not self.current:
                self.services.flow.follow(self._payment)
            self.services.flow.retry()

    def copy(self) -> None:
        if self._payment is not None:
            self.services.copy(self.text())
            self.said = self.tr("receipt.copied")

    def copy_fact(self, value: str) -> None:
        self.services.copy(value)
        self.said = self.tr("receipt.copied")

    def save(self, picture: Any) -> None:
        """The receipt as text and as the picture of the screen, in the payer's folder of documents."""
        if self._payment is not None:
            self.spawn(self._save(picture))

    async def _save(self, picture: Any) -> None:
        try:
            folder = await self.services.save_receipt(self._payment.id if self._payment else "", self.text(), picture)
        except OSError:
            self.said = self.tr("receipt.not_saved")
        else:
            self.said = self.tr("receipt.saved", folder=folder)

    def text(self) -> str:
        """The receipt in words."""
        payment = self._payment
        if payment is None:
            return ""
        return receipts.as_text(payment, self.session.texts, f"{self.headline}: {self.amount_text}", self.services.zone)

    def relabel(self) -> None:
        payment = self._payment
        if payment is None:
            return
        self.status = payment.status if payment.settled else "pending"
        self.icon, self.mood = {
            SUCCESSFUL: ("tick", "primary"),
            FAILED: ("cross", "danger"),
        }.get(payment.status, ("clock", "warning"))
        self.headline = self.tr(f"result.{self.status}")
        self.amount_text = self.services.money(payment.amount, payment.currency)
        self.explanation = self._explain(payment)
        self.copied = [value for value in (payment.reference, payment.id) if value]
        self.facts = receipts.lines(payment, self.session.texts, self.services.zone)
        self.can_retry = payment.can_retry
        self.can_follow = not payment.settled

    def _explain(self, payment: Payment) -> str:
        if payment.status == SUCCESSFUL:
            title = self._titles(payment)
            return self.tr("result.credited", title=title) if title else self.tr("result.credited_plain")
        if payment.status == FAILED:
            return payment.reason.message if payment.reason else self.tr("result.failed_plain")
        return self.tr("result.pending_plain")

    def _follow(self, state: State) -> None:
        self.busy = state.busy
        payment = state.payment
        if payment is None:
            return
        ours = self._payment is None or self.current or self._payment.id == payment.id
        if state.phase in SETTLED and ours:
            self.notice = self.services.notice(state)
            if payment != self._payment:
                self.show(payment, current=True)
            self.current = True
