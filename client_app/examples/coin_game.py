"""A game that sells coins: `python coin_game.py https://shop.example TOKEN`. Kill it whenever you like: at its next
start the sheet shows what became of the payment.
"""

from __future__ import annotations

import sys

from feexpay_client import PaymentSheet, Purchase, SheetResult
from kivy.app import App
from kivy.lang import Builder
from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout

Builder.load_string("""
<Card@Label>:
    size_hint_y: 0.4
    font_size: "32sp"

<Form>:
    orientation: "vertical"
    padding: "24dp"
    spacing: "16dp"
    Card:
        text: root.text
    Button:
        text: "50 coins, 500 F CFA"
        on_release: app.buy(500, "50 coins", "mini")
    Button:
        text: "220 coins, 2 000 F CFA"
        on_release: app.buy(2000, "220 coins", "champion")
""")


class Form(BoxLayout):
    text = StringProperty("Coins are good. Buy some.")


class CoinGame(App):
    def build(self) -> Form:
        server, token = sys.argv[1:]
        self.sheet = PaymentSheet(api=server, token=token, on_result=self.paid, language="en", country="BJ")
        return Form()

    def on_start(self) -> None:
        self.sheet.resume()  # a payment of the last run, if it was killed meanwhile

    def buy(self, amount: int, title: str, pack: str) -> None:
        self.sheet.open(Purchase(amount, "XOF", title, {"pack": pack}))

    def paid(self, result: SheetResult) -> None:
        """The server credits the coins; the game only says so."""
        words = {"successful": "Your coins are here!", "pending": "Your coins are on their way."}
        self.root.text = words.get(result.status, "No coins this time.")


if __name__ == "__main__":
    CoinGame().run()
