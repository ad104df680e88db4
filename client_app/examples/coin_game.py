"""A game that sells coins in 60 lines: `python coin_game.py https://shop.example TOKEN`.

It has its own `Card` and `Form`, knows nothing of asyncio, and opens the payment sheet over its screen. Kill it
whenever you like: at its next start the sheet shows what became of the payment.
"""

from __future__ import annotations

import sys

from feexpay_client import PaymentSheet, Purchase, SheetResult
from kivy.app import App
from kivy.lang import Builder
from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout

Builder.load_string("""
<Card>:
    size_hint_y: 0.4
    Label:
        text: root.text
        font_size: "32sp"

<Form>:
    orientation: "vertical"
    padding: "24dp"
    spacing: "16dp"
    Card:
        text: root.text
    Button:
        text: "50 coins, 500 F CFA"
        on_release: app.buy(500, "XOF", "50 coins", {"pack": "mini"})
    Button:
        text: "220 coins, 2 000 F CFA"
        on_release: app.buy(2000, "XOF", "220 coins", {"pack": "champion"})
""")


class Card(BoxLayout):
    text = StringProperty("")


class Form(BoxLayout):
    text = StringProperty("Coins are good. Buy some.")


class CoinGame(App):
    def build(self) -> Form:
        return Form()

    def on_start(self) -> None:
        self.sheet(None).resume()  # a payment of the last run, if it was killed meanwhile

    def buy(self, amount: int, currency: str, title: str, metadata: dict[str, str]) -> None:
        self.sheet(Purchase(amount, currency, title, metadata)).open()

    def sheet(self, purchase: Purchase | None) -> PaymentSheet:
        server, token = sys.argv[1:3]
        return PaymentSheet(
            api=server, token=token, purchase=purchase, on_result=self.paid, language="en", country="BJ"
        )

    def paid(self, result: SheetResult) -> None:
        """The server credits the coins; the game only says so."""
        self.root.text = {"successful": "Your coins are here!", "pending": "Your coins are on their way."}.get(
            result.status, "No coins this time."
        )


if __name__ == "__main__":
    CoinGame().run()
