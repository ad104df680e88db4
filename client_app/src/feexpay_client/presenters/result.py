"""Which payment is shown: the one that just ended, or the one asked for out of the history. Never what stood before."""

from __future__ import annotations

from typing import Any

from feexpay_client.core.models import Payment
from feexpay_client.core.states import State
from feexpay_client.presenters.payment import PaymentPresenter


class ResultPresenter(PaymentPresenter):
    """The end of the payment that the flow holds."""

    @property
    def shown(self) -> Payment | None:
        return self.services.state.ended

    def _follow(self, state: State) -> None:
        super()._follow(state)
        beside_field = self._problems().keys() & {"otp", "phone"}
        self.notice = self.services.notice(state) if state.ended is not None and not beside_field else ""


class ReceiptPresenter(PaymentPresenter):
    """The payment of the history that was asked for, in its newest word."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._asked_for: Payment | None = None
        super().__init__(*args, **kwargs)

    @property
    def shown(self) -> Payment | None:
        asked, live = self._asked_for, self.services.state.payment
        if asked is not None and live is not None and live.id == asked.id and live.updated_at >= asked.updated_at:
            return live
        return asked

    def show(self, payment: Payment | None) -> None:
        """That payment from now on; None: none."""
        self._asked_for = payment
        self.relabel()
