"""The log of refused webhooks, limited, because in a flood its lines cost more than the refusals and fill the disk."""

from __future__ import annotations

import logging
import time

from django.http import HttpResponse

logger = logging.getLogger("django_feexpay.webhooks")

#: Refusals that each process logs in a minute.
PER_MINUTE = 60


class _Quota:
    """The lines of the current minute. Threads may exceed it by a line each: that needs no lock."""

    def __init__(self) -> None:
        self._minute = -1
        self._lines = 0

    def forget(self) -> None:
        self._minute = -1

    def is_free(self) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines == PER_MINUTE + 1:
            logger.warning("webhooks: %d were refused; the others of this minute are not logged", PER_MINUTE)
        return self._lines <= PER_MINUTE


_quota = _Quota()


def log(response: HttpResponse, cause: str = "") -> HttpResponse:
    """Log a refusal with its cause; beyond the limit log nothing, and keep Django from logging the response."""
    if not _quota.is_free():
        response._has_been_logged = True  # type: ignore[attr-defined]  # what django.utils.log looks for
    elif cause:
        logger.warning("webhook rejected: %s", cause)
    return response


def forget() -> None:
    """Forget what was logged in this minute, for tests."""
    _quota.forget()
