"""The number in full on the device that typed it, so that its owner notices a wrong digit while waiting.

It is stored encrypted in a cookie of this browser, for the path of this one payment and until it expires. Every other
browser that opens the address sees the masked number.
"""

from __future__ import annotations

import base64
import binascii

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from django_feexpay import crypto
from django_feexpay.catalogue.phone import PhoneError, PhoneRule, parse
from django_feexpay.conf import feexpay
from django_feexpay.models.fields import Sealed
from django_feexpay.private import PrivateText

_COOKIE = "feexpay_number"


def remember(response: HttpResponseBase, request: HttpRequest, path: str, phone: str, rule: PhoneRule | None) -> None:
    """Send the number back to the browser that typed it; nothing for a card, or for a text that is no number."""
    if rule is None or not phone:
        return
    try:
        msisdn = parse(phone, rule)
    except PhoneError:
        return
    sealed = Sealed.of({"calling_code": msisdn.calling_code, "national": msisdn.national, "masked": msisdn.masked})
    response.set_cookie(
        _COOKIE,
        base64.urlsafe_b64encode(sealed.token).decode(),
        max_age=feexpay.expiry,
        path=path,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def shown(request: HttpRequest, masked: str) -> str:
    """The number in full if this browser typed it, else masked."""
    try:
        token = base64.urlsafe_b64decode(request.COOKIES.get(_COOKIE, ""))
        typed = Sealed(token).open() if token else {}
    except (crypto.UnreadableError, binascii.Error, ValueError):
        typed = {}
    if not masked or typed.get("masked") != masked:
        return masked
    national = typed["national"]
    first = len(national) % 2 or 2  # 9 digits begin with one alone
    pairs = [national[:first], *(national[start : start + 2] for start in range(first, len(national), 2))]
    return PrivateText(f"+{typed['calling_code']} {' '.join(pairs)}")
