"""The screens of one payment, from the ways to pay to the receipt, and which of them follows which.

A host shows them: `PaymentSheet` over a game's screen, `ClientApp` among its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from feexpay_client.core.models import FAILED, Payment
from feexpay_client.core.purchase import Purchase
from feexpay_client.core.states import FORM, OPEN, SETTLED, Draft
from feexpay_client.presenters.app_context import AppContext
from feexpay_client.presenters.form import FormPresenter
from feexpay_client.presenters.presenter import Presenter
from feexpay_client.presenters.providers import ProvidersPresenter
from feexpay_client.presenters.result import ResultPresenter
from feexpay_client.presenters.waiting import WaitingPresenter
from feexpay_client.sheet.host import Host
from feexpay_client.ui.screens.pay import FeexPayPayScreen
from feexpay_client.ui.screens.result import FeexPayResultScreen
from feexpay_client.ui.screens.status import FeexPayStatusScreen


class PaymentStage:
    """Screens have names: `pay`, `status`, `result`. `title_of`: what a payment bought; empty if not known."""

    def __init__(self, context: AppContext, title_of: Callable[[Payment | Draft], str]) -> None:
        self._context, self._title_of = context, title_of
        context.title_of = title_of
        self.providers = ProvidersPresenter(context=context)
        self.form = FormPresenter(self.providers, context=context)
        self.waiting = WaitingPresenter(self.providers, context=context)
        self.result = ResultPresenter(title_of, self.providers, context=context)

    @property
    def presenters(self) -> tuple[Presenter, ...]:
        return (self.providers, self.form, self.waiting, self.result)

    def screen(self, name: str, host: Host) -> Any:
        """A new screen of that name; None if it is not one of these."""
        if name == "pay":
            return FeexPayPayScreen(vm=self.form, host=host, wide=host.wide)
        if name == "status":
            return FeexPayStatusScreen(vm=self.waiting, host=host, wide=host.wide)
        if name == "result":
            return FeexPayResultScreen(vm=self.result, host=host, wide=host.wide, ending=True)
        return None

    def first(self) -> str:
        """The screen of the payment that is open or has just ended; empty if there is none."""
        phase = self._context.state.phase
        return "status" if phase in OPEN else "result" if phase in SETTLED else ""

    def allowed(self, name: str) -> str:
        """Replace `status` or `result` by the screen that fits the flow's payment; empty if it holds none."""
        return self.first() if name in ("status", "result") else name

    def following(self, showing: str) -> str | None:
        """The screen to show instead after a change of phase. None: stay. Empty: leave the payment's screens."""
        state = self._context.state
        if state.phase in OPEN and showing in ("pay", "result"):
            return "status"
        if state.phase in SETTLED and showing in ("status", "pay"):
            return "result"
        if state.phase in FORM and showing in ("status", "result"):
            return "pay" if state.draft.priced else ""
        return None

    def begin(self, purchase: Purchase) -> str:
        """Fill in the form for a purchase. An open payment comes first. Returns the screen to show."""
        flow = self._context.flow
        if self._context.state.phase in OPEN:
            return "status"
        if self._context.state.phase in SETTLED and flow is not None:
            flow.new()
        self.form.begin(
            purchase.amount, purchase.currency, dict(purchase.metadata), purchase.title, purchase.description
        )
        return "pay"

    def finish(self, title: str) -> str:
        """Leave the result. After a failure, open the form with the same purchase; empty: leave the payment's screens.

        title: of a purchase whose own title is not known.
        """
        ended, flow = self.result.shown, self._context.flow
        if flow is not None and ended is not None:
            flow.new()
        if ended is None or ended.status != FAILED:
            return ""
        self.form.begin(ended.amount, ended.currency, dict(ended.metadata), self._title_of(ended) or title)
        return "pay"
