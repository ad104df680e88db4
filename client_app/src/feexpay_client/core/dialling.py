"""USSD codes (`*144*82#`) in the instructions of a provider."""

from __future__ import annotations

import re

from feexpay_client.core.models import Provider

_CODE = re.compile(r"[*#][0-9*#a-zA-Z]*[0-9*a-zA-Z]#")
#: The placeholder of the amount: `*144*4*6*montant#`, `*144*4*6*amount#`.
_PLACE = re.compile(r"[a-zA-Z]+")


def code_in(instructions: str) -> str:
    """The code to dial in the instructions, or empty."""
    found = _CODE.search(instructions)
    return found.group() if found else ""


def filled(instructions: str, amount: int) -> str:
    """The instructions with the amount in place of the code's placeholder, if it has one.

    amount: whole units of a currency without cents.
    """
    code = code_in(instructions)
    return instructions.replace(code, _PLACE.sub(str(amount), code)) if code and amount > 0 else instructions


def wants_code_first(provider: Provider) -> bool:
    """The payer must dial for the one-time code before the payment is sent."""
    return provider.flow == "otp" and bool(code_in(provider.instructions))
