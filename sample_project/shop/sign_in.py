"""Signing in by a form, limited against password guessing as the token endpoint is."""

from __future__ import annotations

import math
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from django_feexpay.rest import Unavailable
from shop.throttles import remember_address, seconds_to_wait

_TOO_MANY, _UNAVAILABLE = "too_many_attempts", "sign_in_unavailable"


class LimitedSignInForm(AuthenticationForm):
    """Counts an attempt before it checks the password. `wait_seconds`: until the next attempt is checked."""

    wait_seconds = 0

    @property
    def status(self) -> int:
        """The HTTP status of a page that shows this form after an attempt that was not checked; else 200."""
        if not self.wait_seconds:
            return 200
        return 503 if self.has_error("__all__", _UNAVAILABLE) else 429

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        account = self.cleaned_data.get("username")
        if account and self.cleaned_data.get("password") and self.request is not None:
            self._count(self.request, account)
            super().clean()
            remember_address(self.request, account)
        return self.cleaned_data

    def _count(self, request: HttpRequest, account: str) -> None:
        """Count the attempt. Raises: ValidationError; then the password is not checked, right or wrong."""
        try:
            self.wait_seconds = math.ceil(seconds_to_wait(request, account))
        except Unavailable as error:
            self.wait_seconds = 1
            raise ValidationError(str(error.detail), code=_UNAVAILABLE) from error
        if self.wait_seconds:
            minutes = math.ceil(self.wait_seconds / 60)
            text = ngettext(
                "Too many attempts. Your password was not checked. Try again in %(minutes)d minute.",
                "Too many attempts. Your password was not checked. Try again in %(minutes)d minutes.",
                minutes,
            )
            raise ValidationError(text % {"minutes": minutes}, code=_TOO_MANY)
