"""The page that shows the whole phone number of one payment, after a reason.

The number is in the answer to the form and nowhere else: in no address, log, audit row or cache.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_feexpay.admin.confirm_action import ReasonForm
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.models import Payment
from django_feexpay.payments import staff_actions
from django_feexpay.payments.attempts import unsealed
from django_feexpay.payments.ledger import Source
from django_feexpay.private import PrivateText

PERMISSION = "feexpay.unmask_number"
NAME = "unmask"
TITLE = gettext_lazy("Show the phone number")


def may(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


def address(payment_id: UUID) -> str:
    return f"{reverse(f'admin:feexpay_payment_{NAME}')}?payment={payment_id}"


def unmask(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Ask for a reason; posted with one, record it and show the number of each attempt once.

    Raises: PermissionDenied; Http404 for an unknown payment.
    """
    if not (model_admin.has_view_permission(request) and may(request)):
        raise PermissionDenied
    payment = _payment(request)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {
        **page_context(model_admin, request, TITLE),
        "form": form,
        "payment": payment,
        "back_url": reverse("admin:feexpay_payment_change", args=[payment.pk]),
    }
    template = "admin/feexpay/payment/unmask.html"
    if form.is_valid():
        context["numbers"] = _reveal(request, payment, form.cleaned_data["reason"])
        template = "admin/feexpay/payment/unmasked.html"
    response = TemplateResponse(request, template, context)
    response["Cache-Control"] = "no-store, private"
    return response


def _payment(request: HttpRequest) -> Payment:
    try:
        return Payment.objects.select_related("latest_attempt").get(pk=UUID(request.GET["payment"]))
    except (KeyError, ValueError, Payment.DoesNotExist):
        raise Http404 from None


@sensitive_variables()
def _reveal(request: HttpRequest, payment: Payment, reason: str) -> list[dict[str, Any]]:
    """Each attempt with its number, "" where it was erased. The audit row is written before a number is shown."""
    numbers = [
        {
            "ordinal": attempt.ordinal,
            "masked": attempt.masked_msisdn,
            "number": _number(unsealed(attempt.msisdn_sealed)),
        }
        for attempt in payment.attempts.order_by("ordinal")
    ]
    shown = sum(bool(row["number"]) for row in numbers)
    staff_actions.record(
        staff_actions.Action.UNMASK,
        actor=str(request.user.pk),
        source=Source.ADMIN,
        target=payment,
        result=staff_actions.Result.DONE if shown else staff_actions.Result.SKIPPED,
        reason=reason,
        detail={"numbers": shown},
    )
    return numbers


@sensitive_variables()
def _number(msisdn: dict[str, str]) -> PrivateText:
    return PrivateText(f"+{Msisdn(**msisdn).digits}" if msisdn else "")
