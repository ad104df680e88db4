"""The limits of the checkout's requests: those of the API, counted by the address that was opened and by its payer."""

from __future__ import annotations

import logging
import math

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_feexpay import rate_limit
from django_feexpay.checkout.opened import Opened
from django_feexpay.client_address import client_key
from django_feexpay.conf import feexpay
from django_feexpay.payments.errors import NotAllowedError

logger = logging.getLogger("django_feexpay.checkout")


def count_read(opened: Opened) -> None:
    """Count a request that only reads, by its address. While the cache fails, it passes.

    Raises: NotAllowedError `throttled`.
    """
    _count(f"status:intent:{opened.intent.id}", "status", is_read=True)


def count_write(opened: Opened, request: HttpRequest, scope: str) -> None:
    """Count a request that may ask a payer: by its address, and by the user, or by the network address of a guest.

    A user has one count for the API and the checkout. While the cache fails, nothing is admitted: a pause is better
    than unlimited prompts.
    Raises: NotAllowedError `throttled`, `rate_unavailable`.
    """
    _count(f"{scope}:intent:{opened.intent.id}", scope)
    if opened.user is not None:
        _count(f"{scope}:user:{opened.user.pk}", scope)
    else:
        _count(f"anonymous:address:{client_key(request)}", "anonymous")


def _count(name: str, scope: str, *, is_read: bool = False) -> None:
    try:
        wait = rate_limit.wait_seconds(name, *feexpay.rate_of(scope))
    except Exception as error:  # the host chooses the cache, so its errors have no common base
        logger.error("checkout: the cache failed: %s", type(error).__name__)
        if is_read:
            return
        raise NotAllowedError(
            "rate_unavailable",
            _("Requests cannot be counted at the moment, so none is accepted. Nothing was taken. Please try again."),
        ) from None
    if wait:
        seconds = math.ceil(wait)
        text = ngettext(
            "Too many requests. Nothing was sent. Please try again in %(seconds)d second.",
            "Too many requests. Nothing was sent. Please try again in %(seconds)d seconds.",
            seconds,
        )
        raise NotAllowedError("throttled", text % {"seconds": seconds}, retry_after_seconds=seconds)
