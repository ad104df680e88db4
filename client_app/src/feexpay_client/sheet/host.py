"""What the screens of a payment ask of the app or sheet around them."""

from __future__ import annotations

from typing import Any, Protocol

from feexpay_client.presenters.providers import ProvidersPresenter


class Host(Protocol):
    """`ClientApp` and `PaymentSheet` are hosts. `is_sheet`: leaving the first screen closes it."""

    is_sheet: bool

    @property
    def wide(self) -> bool:
        """There is room for two columns."""

    @property
    def providers(self) -> ProvidersPresenter: ...

    def tr(self, key: str) -> str:
        """A text in the payer's language."""

    def go_back(self) -> None:
        """Close the topmost sheet, or go one step back."""

    def open_sheet(self, sheet: Any) -> None:
        """Show a `FeexPaySheet` over the screen."""

    def pick_provider(self) -> None:
        """Show the ways to pay again."""

    def leave_payment(self) -> None:
        """Leave an open payment; it continues on the server."""

    def finish_payment(self) -> None:
        """Leave the result."""

    def follow_payment(self) -> None:
        """Poll the payment of the receipt."""
