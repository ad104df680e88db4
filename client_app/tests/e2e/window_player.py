"""One run of the client with its window, tapped through, in a process that can be killed. Offscreen, real pixels.

`python -m tests.e2e.window_player PLAN` takes the plans of `player` and says the same words; `end:` comes when the
window shows the result.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.ui.offscreen import prepare

prepare()

from feexpay_client.ui.app import ClientApp  # noqa: E402 -- the window must be prepared first

from tests.e2e.player import Plan, say, session_of  # noqa: E402
from tests.ui.driver import Driver  # noqa: E402

_PACK, _PROVIDER = "Mini", "MTN Mobile Money"


async def play(plan: Plan) -> None:
    app = ClientApp(session_of(plan), Path(plan.home) / "documents")
    driver = Driver(app)
    shown = [""]

    def see(*_: object) -> bool:
        phase = app.services.state.phase
        if phase != shown[0]:
            shown[0] = phase
            say(phase)
        return app.showing == "result"

    app.services.watch(see)
    if plan.act == "pay":
        await _buy(driver, plan)
    await driver.until(see, seconds=90.0)
    payment = app.services.state.payment
    say(f"end:{app.services.state.phase}:{payment.id if payment else ''}")
    driver.close()
    await app.close()


async def _buy(driver: Driver, plan: Plan) -> None:
    """From the shop to the button, as a finger does it."""
    app = driver.app
    await driver.until(lambda: app.showing == "home" and app.home.packs)
    driver.tap(driver.find(_PACK))
    await driver.until(lambda: app.showing == "pay" and app.providers.tiles)
    driver.tap(driver.find(_PROVIDER))
    driver.type(driver.root.screen.form.ids.phone.ids.entry, plan.phone)
    await driver.until(lambda: app.form.can_pay)
    button = next(one for one in driver.visible() if getattr(one, "text", "").startswith("Pay 5"))
    driver.tap(button)


if __name__ == "__main__":
    asyncio.run(play(Plan(**json.loads(sys.argv[1]))))
