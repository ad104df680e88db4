"""The page that confirms a change of a provider: each field with its old and its new value, and the reason."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display
from django_feexpay.admin.confirm_action import ReasonForm
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.models import Provider
from django_feexpay.payments import provider_changes
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

PERMISSION = "feexpay.change_provider"
TITLE = gettext_lazy("Change the provider")


@dataclass(frozen=True, slots=True)
class _Change:
    """One field of a form, its value now and the value that it gets."""

    name: str
    field: forms.Field
    before: Any
    after: Any

    @property
    def cells(self) -> list[tuple[str, Any]]:
        """The row of the page, each cell with its heading: on a phone the table becomes a list."""
        texts = (str(self.field.label), self._shown(self.before), self._shown(self.after))
        return list(zip(_headings(), texts, strict=True))

    def _shown(self, value: Any) -> Any:
        """A value in words."""
        if isinstance(self.field.widget, forms.Select):
            return dict(self.field.widget.choices).get(value, value)
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        if isinstance(value, Decimal):
            return display.line(f"{value:f} %")
        if isinstance(value, int):
            return display.line(f"{value:,}".replace(",", "\u00a0"))
        return value or display.EMPTY


def answer(model_admin: AnyModelAdmin, request: HttpRequest, code: str) -> HttpResponse | None:
    """Answer the sent form of a provider: ask for the reason or, if it was sent too, change the provider.

    None if the form has an error or there is no such provider: then Django's page shows it and saves nothing.
    Changes: Provider, StaffAction. Raises: PermissionDenied.
    """
    if not model_admin.has_change_permission(request):
        raise PermissionDenied
    provider = Provider.objects.filter(pk=code).first()
    if provider is None:
        return None
    form = model_admin.get_form(request, provider, change=True)(request.POST, instance=provider)
    if not form.is_valid():
        return None
    changes = [
        _Change(name, form.fields[name], form.initial.get(name), form.cleaned_data[name]) for name in form.changed_data
    ]
    page = reverse("admin:feexpay_provider_change", args=[code])
    if not changes:
        model_admin.message_user(request, _("Nothing was changed: every value is as it was."), messages.INFO)
        return HttpResponseRedirect(page)
    seen = _fingerprint(changes)
    is_confirmed = "seen" in request.POST
    reason = ReasonForm(request.POST if is_confirmed else None)
    reason.fields["reason"].help_text = gettext_lazy("Kept for ever: write no name and no phone number here.")
    if is_confirmed and request.POST["seen"] != seen:
        text = _("Another member of staff changed this provider in the meantime. Look again.")
        model_admin.message_user(request, text, messages.WARNING)
    elif reason.is_valid() and _change(model_admin, request, code, changes, reason.cleaned_data["reason"]):
        return HttpResponseRedirect(
            page if "_continue" in request.POST else reverse("admin:feexpay_provider_changelist")
        )
    return _ask(model_admin, request, form, reason, changes, seen, page)


def _fingerprint(changes: list[_Change]) -> str:
    """A hash of the changes on the page. If the same form gives another one, the provider was changed meanwhile."""
    values = [(change.name, str(change.before), str(change.after)) for change in changes]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _change(model_admin: AnyModelAdmin, request: HttpRequest, code: str, changes: list[_Change], reason: str) -> bool:
    """Change the provider; False if another change came first, and a message says so."""
    try:
        provider_changes.change(
            code,
            {change.name: change.after for change in changes},
            before={change.name: change.before for change in changes},
            reason=reason,
            actor=str(request.user.pk),
            source=Source.ADMIN,
        )
    except NotAllowedError as refusal:
        model_admin.message_user(request, refusal.message, messages.WARNING)
        return False
    model_admin.message_user(request, _("The provider is changed."), messages.SUCCESS)
    return True


def _ask(
    model_admin: AnyModelAdmin,
    request: HttpRequest,
    form: forms.ModelForm[Provider],
    reason: ReasonForm,
    changes: list[_Change],
    seen: str,
    page: str,
) -> HttpResponse:
    context = {
        **page_context(model_admin, request, TITLE),
        "form": reason,
        "provider": f"{form.initial['name']} ({form.instance.pk})",
        "values": [field.as_hidden() for field in form],
        "seen": seen,
        "stays": "_continue" in request.POST,
        "headings": _headings(),
        "rows": [change.cells for change in changes],
        "back_url": page,
    }
    return TemplateResponse(request, "admin/feexpay/provider/confirm_change.html", context)


def _headings() -> tuple[str, str, str]:
    return (_("Field"), _("Before"), _("After"))
