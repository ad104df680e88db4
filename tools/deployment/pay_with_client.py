"""One payment by the client's engine over TLS, with the authority of docs/how-to/deploy.md.

tools.deployment.watch runs it in the client's own environment:
`.venv-client/bin/python tools/deployment/pay_with_client.py TOKEN PHONE`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile

import httpx
from feexpay_client import FeexPayClient, PaymentFlow, Purchase
from feexpay_client.core.shop import HttpShop
from feexpay_client.flow import SETTLED

SERVER = "https://shop.example"
AUTHORITY = "/etc/shop/tls/authority.pem"
_SECONDS = 60


async def pay(token: str, phone: str, folder: str) -> str:
    """The phase in which the payment ended, and its id."""
    trusted = ssl.create_default_context(cafile=AUTHORITY)
    async with FeexPayClient(SERVER, token, transport=httpx.AsyncHTTPTransport(verify=trusted)) as api:
        pack = (await HttpShop(api.connection).goods())[0]
        purchase = Purchase(pack.price, pack.currency, pack.name, pack.metadata)
        async with PaymentFlow(api, folder, account="watch") as flow:
            flow.prepare(purchase, "mtn_bj", phone)
            await flow.until(lambda state: state.can_pay)
            flow.pay()
            state = await flow.until(lambda state: state.phase in SETTLED)
            return f"{state.phase} {state.payment.id if state.payment else ''}"


def main() -> int:
    _program, token, phone = sys.argv
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(asyncio.wait_for(pay(token, phone, folder), _SECONDS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
