"""The admin site, whose sign-in page limits password guessing as the token endpoint does."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from shop.sign_in import LimitedSignInForm


class SignInForm(LimitedSignInForm, AdminAuthenticationForm):
    """The sign-in form for staff."""


class ShopAdminSite(AdminSite):
    site_header = site_title = _("Coin shop")
    login_form = SignInForm

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().login(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if isinstance(form, SignInForm) and form.wait_seconds:
            response.status_code = form.status
            response["Retry-After"] = str(form.wait_seconds)
        return response
