"""The payment sheet: the screens of one payment, over the screen of any Kivy app."""

from __future__ import annotations

from feexpay_client.sheet.payment_sheet import PaymentSheet, SheetResult

__all__ = ["PaymentSheet", "SheetResult"]
