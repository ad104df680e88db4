"""Codes to dial (`*144*82#`), which the catalogue writes into the instructions of a provider."""

from __future__ import annotations

import re

from feexpay_client.core.models import Provider

_CODE = re.compile(r"[*#][0-9*#a-zA-Z]*[0-9*a-zA-Z]#")
#: Where the payer puts the amount: `*144*4*6*montant#`, `*144*4*6*amount#`.
_PLACE = re.compile(r"[a-zA-Z]+")


def code_in(instructions: str) -> str:
    """The code to dial that the instructions name; empty where they name none."""
    found = _CODE.search(instructions)
    return found.group() if found else ""


def filled(instructions: str, amount: int) -> str:
    """The instructions with the amount (whole units of a currency without cents) in the code, where it has a place."""
    code = code_in(instructions)
    return instructions.replace(code, _PLACE.sub(str(amount), code)) if code and amount > 0 else instructions


def wants_code_first(provider: Provider) -> bool:
    """The payer gets the one-time code by dialling, before anything is sent."""
    return provider.flow == "otp" and bool(code_in(provider.instructions))
