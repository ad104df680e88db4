"""Lift the prompt limit of one phone number, with a reason; the permanent list of these lifts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from django_feexpay import conf
from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.people import name_of
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.admin.search import NumberForm, msisdns
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.models import PromptLift
from django_feexpay.payments import prompts
from django_feexpay.private import PrivateText

if TYPE_CHECKING:
    from django.urls import URLPattern

_PERMISSION = "feexpay.lift_prompt_limit"
_HOURS = (
    ("1", gettext_lazy("1 hour")),
    ("4", gettext_lazy("4 hours")),
    ("24", gettext_lazy("24 hours")),
)
#: A text with eight digits in a row, grouped or not, holds a phone number.
_NUMBER = re.compile(r"(?:\d[\s.\-]?){8,}")


class LiftForm(NumberForm):
    """A number, a duration and a reason."""

    hours = forms.ChoiceField(label=gettext_lazy("For"), choices=_HOURS)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=gettext_lazy("Kept for ever with your name: do not write the payer's name or phone number here."),
    )

    @sensitive_variables()
    def clean_phone(self) -> Msisdn:
        found = msisdns(PrivateText(self.cleaned_data["phone"]))
        if not found:
            raise ValidationError(_("This is not a phone number of a country with a provider."))
        if len(found) > 1:
            raise ValidationError(_("This number exists in several countries. Begin with its country code."))
        return found[0]

    def clean_reason(self) -> str:
        reason = str(self.cleaned_data["reason"]).strip()
        if _NUMBER.search(reason):
            raise ValidationError(_("Do not write a phone number here: this text is kept for ever."))
        return reason


@admin.register(PromptLift)
class PromptLiftAdmin(LedgerAdmin):
    """Lifts, newest first, without the hash of the number."""

    list_display = ("phone_shown", "state", "lifted_at", "until", "actor_shown", "reason")
    ordering = ("-id",)
    fields = ("phone_shown", "state", "lifted_at", "until", "actor_shown", "reason")
    change_list_template = "admin/feexpay/promptlift/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.lift_view)
        return [path("lift/", view, name="feexpay_promptlift_lift"), *super().get_urls()]

    @method_decorator(sensitive_post_parameters("phone"))
    @method_decorator(require_http_methods(["GET", "POST"]))
    def lift_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the number by POST, so that it is in no address, page or log."""
        if not (self.has_view_permission(request) and request.user.has_perm(_PERMISSION)):
            raise PermissionDenied
        form = LiftForm(request.POST if request.method == "POST" else None)
        request.POST = QueryDict()  # error reports quote POST
        if form.is_valid():
            return self._lift(request, form.cleaned_data)
        context = {
            **page_context(self, request, _("Lift the prompt limit")),
            "form": form,
            "limit": _limit_text(feexpay.prompts_per_phone),
        }
        return TemplateResponse(request, "admin/feexpay/promptlift/lift.html", context)

    @sensitive_variables()
    def _lift(self, request: HttpRequest, given: dict[str, Any]) -> HttpResponse:
        lasts = timedelta(hours=int(given["hours"]))
        lift = prompts.lift(given["phone"], lasts=lasts, actor=str(request.user.pk), reason=given["reason"])
        text = _("%(phone)s can get payment requests without a limit until %(until)s.")
        until = display.moment(lift.until)
        message = text % {"phone": lift.masked_msisdn, "until": until}
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:feexpay_promptlift_changelist"))

    @admin.display(description=gettext_lazy("phone"))
    def phone_shown(self, row: PromptLift) -> SafeString:
        return display.line(row.masked_msisdn)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: PromptLift) -> SafeString:
        if row.until > conf.now():
            return display.pill(_("Lifted"), Tone.WAITING)
        return display.pill(_("Ended"), Tone.QUIET)

    @admin.display(description=gettext_lazy("actor"))
    def actor_shown(self, row: PromptLift) -> str:
        return name_of(row.actor)


def _limit_text(limit: int) -> str:
    """ "" without a limit."""
    if not limit:
        return ""
    text = ngettext(
        "A phone number gets at most %(limit)d payment request an hour, from all users together.",
        "A phone number gets at most %(limit)d payment requests an hour, from all users together.",
        limit,
    )
    return text % {"limit": limit}
