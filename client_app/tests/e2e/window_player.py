"""Run the client with its window, offscreen and by taps, in a process that can be killed.

`python -m tests.e2e.window_player PLAN` takes the plans of `player` and prints the same lines; `end:` comes when
the window shows the result.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from tests.ui.offscreen import prepare

prepare()

from feexpay_client.ui.app import ClientApp  # noqa: E402 -- the window must be prepared first

from tests.e2e.player import Plan, print_line, session_of  # noqa: E402
from tests.ui.driver import Driver  # noqa: E402

_PACK, _PROVIDER = "Mini", "MTN Mobile Money"


async def play(plan: Plan) -> None:
    app = ClientApp(session_of(plan), Path(plan.home) / "documents")
    driver = Driver(app)
    shown = [""]

    def on_change(*_: object) -> bool:
        phase = app.context.state.phase
        if phase != shown[0]:
            shown[0] = phase
            print_line(phase)
        return app.showing == "result"

    app.context.subscribe(on_change)
    if plan.act == "pay":
        await _buy(driver, plan)
    await driver.until(on_change, seconds=300.0)
    for phone in plan.then:
        _print_shown_result(driver)
        app.finish_payment()
        await _buy(driver, replace(plan, phone=phone))
        await driver.until_showing("status")
        await driver.until(on_change, seconds=300.0)
    _print_shown_result(driver)
    payment = app.context.state.payment
    print_line(f"end:{app.context.state.phase}:{payment.id if payment else ''}")
    driver.close()
    await app.close()


def _print_shown_result(driver: Driver) -> None:
    """Check and print the result on the screen."""
    driver.frames(4)
    vm = driver.app.result
    if not vm.details_shown:  # the id is among the details, which are folded away
        vm.toggle_details()
        driver.frames(4)
    assert vm.payment_id in driver.texts(), driver.texts()
    assert vm.headline in driver.texts(), driver.texts()
    print_line(f"shown:{vm.payment_id}:{vm.status}")


async def _buy(driver: Driver, plan: Plan) -> None:
    """Choose a pack, fill in the form and press pay, by taps."""
    app = driver.app
    app.go("home")
    await driver.until(lambda: app.showing == "home" and app.home.packs)
    driver.tap(driver.find(_PACK))
    await driver.until(lambda: app.showing == "pay" and app.providers.tiles)
    if not app.form.has_provider:
        driver.tap(driver.find(_PROVIDER))
    app.form.phone = ""
    driver.type(driver.root.screen.form.ids.phone.ids.entry, plan.phone)
    await driver.until(lambda: app.form.can_pay)
    button = next(one for one in driver.visible() if getattr(one, "text", "").startswith("Pay 5"))
    driver.tap(button)


if __name__ == "__main__":
    asyncio.run(play(Plan(**json.loads(sys.argv[1]))))
