"""Random events: the result shows the flow's payment, the receipt the opened one. Retry is offered only if allowed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from feexpay_client.core.i18n import Texts
from feexpay_client.core.preferences import Preferences
from feexpay_client.presenters.app_context import AppContext
from feexpay_client.presenters.providers import ProvidersPresenter
from feexpay_client.presenters.result import ReceiptPresenter, ResultPresenter
from feexpay_client.presenters.tasks import Tasks
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Phases
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.core.simulation import Simulation
from tests.core.test_invariants import Payer

_HEADLINES = {"successful": "Paiement réussi", "failed": "Paiement non abouti"}


class Screens(Payer):
    """Runs the core's random test with the presenters attached."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        sim: Simulation = self.sim
        flow = SimpleNamespace()
        session: Any = SimpleNamespace(
            flow=flow, texts=Texts("fr"), catalogue=None, preferences=SimpleNamespace(value=Preferences(country="BJ"))
        )
        self.context = AppContext(session, Tasks(), lambda _: None, Path(), lambda: None, None)  # type: ignore[arg-type, return-value]
        flow.state = sim.state
        self.flow = flow
        providers = ProvidersPresenter(context=self.context)
        self.result = ResultPresenter(lambda _: "", providers, context=self.context)
        self.receipt = ReceiptPresenter(lambda _: "", providers, context=self.context)
        self.asked = ""

    @precondition(lambda self: self.sim.charges)
    @rule(which=st.integers(0, 5))
    def opens_a_receipt(self, which: int) -> None:
        charges = list(self.sim.charges.values())
        charge = charges[which % len(charges)]
        self.asked = charge.id
        self.receipt.show(charge.read())

    @invariant()
    def presenters_show_the_right_payment(self) -> None:
        if not hasattr(self, "flow"):
            return
        state = self.flow.state = self.sim.state
        self.context.notify(state)
        assert self.result.shown is state.ended
        assert self.receipt.payment_id == self.asked
        if state.ended is not None:
            assert self.result.status == state.ended.status
            assert self.result.headline == _HEADLINES[state.ended.status]
            assert self.result.can_retry == state.can_retry
        if self.result.shown is None:
            assert not self.result.can_retry
        if self.receipt.can_retry:
            assert state.can_be_replaced


Screens.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=settings.get_current_profile_name() != "nightly",
    phases=(Phases.generate,),
)
TestScreens = Screens.TestCase
