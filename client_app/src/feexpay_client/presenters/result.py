"""The result of the current payment, and the receipt of a payment from the history."""

from __future__ import annotations

from typing import Any

from feexpay_client.core.models import Payment
from feexpay_client.core.states import State
from feexpay_client.presenters.payment import PaymentPresenter


class ResultPresenter(PaymentPresenter):
    """The settled payment that the flow holds."""

    @property
    def shown(self) -> Payment | None:
        return self.context.state.ended

    def _follow(self, state: State) -> None:
        super()._follow(state)
        beside_field = self._problems().keys() & {"otp", "phone"}
        self.notice = self.context.notice(state) if state.ended is not None and not beside_field else ""


class ReceiptPresenter(PaymentPresenter):
    """The payment opened from the history, in the newest version known."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._opened: Payment | None = None
        super().__init__(*args, **kwargs)

    @property
    def shown(self) -> Payment | None:
        opened, live = self._opened, self.context.state.payment
        if opened is not None and live is not None and live.id == opened.id and live.updated_at >= opened.updated_at:
            return live
        return opened

    def show(self, payment: Payment | None) -> None:
        self._opened = payment
        self.relabel()
