"""Run the example game offscreen and pay in its sheet, by taps, in a process that can be killed.

`python -m tests.e2e.sheet_player PLAN` takes the plans of `player` and prints the same lines. The game has no asyncio:
Kivy's clock runs the payment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.ui.offscreen import prepare

prepare()

from examples.coin_game import CoinGame, Form  # noqa: E402
from feexpay_client import PaymentSheet, SheetResult  # noqa: E402 -- the window must be prepared first
from feexpay_client.core.states import Phase  # noqa: E402
from feexpay_client.ui.widgets.tile import FeexPayProviderTile  # noqa: E402

from tests.e2e.player import FaultyTransport, Plan, print_line, print_shown_result  # noqa: E402
from tests.ui.host_driver import HostDriver  # noqa: E402


class Game(CoinGame):
    """The example, with the plan's server and network."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan, self.results = plan, list[SheetResult]()
        self._phase = ""

    def build(self) -> Form:
        self.sheet = PaymentSheet(
            api=self.plan.server,
            token=self.plan.token,
            on_result=self.paid,
            language="en",
            country=self.plan.provider[-2:].upper(),
            folder=Path(self.plan.home),
            open_page=lambda url: True,
            transport=FaultyTransport(self.plan) if self.plan.hold else None,
        )
        return Form()

    def paid(self, result: SheetResult) -> None:
        super().paid(result)
        self.results.append(result)

    def print_phase(self) -> bool:
        """Print each new phase; true while the sheet shows a result."""
        if self.sheet.showing:
            phase = self.sheet.context.state.phase
            if phase != self._phase:
                self._phase = phase
                print_line(phase)
        return self.sheet.showing == "result"


def play(plan: Plan) -> None:
    game = Game(plan)
    driver = HostDriver(game)
    if plan.act == "pay":
        _buy(driver, game, plan)
    if plan.act == "retry":
        _retry(driver, game, plan)

    def ended() -> bool:
        if plan.otp and game.sheet.showing == "status" and game.sheet.stage.waiting.kind == "code":
            _enter_code(driver, game, plan.otp)
        return game.print_phase() or bool(game.results)

    driver.wait(ended, seconds=300.0)
    payment = game.sheet.context.state.ended
    driver.frames(4)
    assert payment is not None
    assert game.sheet.stage.result.headline in driver.texts()
    print_shown_result(payment)
    print_line(f"end:{game.sheet.context.state.phase}:{payment.id}")
    driver.close()


def _buy(driver: HostDriver, game: Game, plan: Plan) -> None:
    button = next(one for one in driver.visible() if str(getattr(one, "text", "")).startswith("50 coins"))
    driver.tap(button)
    driver.wait(lambda: game.sheet.showing == "pay" and game.sheet.providers.tiles)
    driver.tap(next(tile for tile in driver.visible(FeexPayProviderTile) if tile.code == plan.provider))
    driver.type(game.sheet._shell.screen.form.ids.phone.ids.entry, plan.phone)
    driver.wait(lambda: game.sheet.stage.form.can_pay)
    driver.tap(next(one for one in driver.visible() if getattr(one, "text", "").startswith("Pay 500")))


def _enter_code(driver: HostDriver, game: Game, code: str) -> None:
    driver.type(game.sheet._shell.screen.ids.code.ids.entry, code)
    driver.tap(driver.find("Confirm the code"))
    driver.wait(lambda: game.sheet.context.state.phase is not Phase.OTP)


def _retry(driver: HostDriver, game: Game, plan: Plan) -> None:
    """From the failure shown at the start, with another number."""
    driver.wait(lambda: game.sheet.showing == "result" and game.sheet.stage.result.may_change_phone)
    driver.tap(driver.find("Use another number"))
    driver.type(game.sheet._shell.screen.receipt.ids.phone.ids.entry, plan.phone)
    driver.tap(driver.find("Try this payment again"))


if __name__ == "__main__":
    play(Plan(**json.loads(sys.argv[1])))
