"""The pages that record a refund and that close an incident: what FeexPay took, what went back, and one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display
from django_feexpay.admin.confirm_action import ReasonForm
from django_feexpay.admin.display import Tone
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.people import names_of
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.admin.search import WriteOnlyInput
from django_feexpay.lifecycle import Status
from django_feexpay.models import Incident, Payment, Refund
from django_feexpay.payments import incidents, payout_terms, refunds
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.refunds import RefundableCharge
from django_feexpay.private import PrivateText

PERMISSION = "feexpay.refund_payment"
CLOSE_PERMISSION = "feexpay.change_incident"
RECORD = "record"
TITLE = gettext_lazy("Record a refund")
CLOSE_TITLE = gettext_lazy("Close the incident")

_TONES: Mapping[str, Tone] = {
    Refund.State.PROPOSED: Tone.DOUBT,
    Refund.State.APPROVED: Tone.WAITING,
    Refund.State.RECORDED: Tone.GOOD,
    Refund.State.CANCELLED: Tone.QUIET,
}


class RefundForm(ReasonForm):
    """An amount, how it was paid back, its reference and a reason. `seen`: the refunds that the page showed."""

    amount = forms.IntegerField(label=gettext_lazy("Amount"), min_value=1)
    way = forms.ChoiceField(label=gettext_lazy("Paid back by"), choices=Refund.Way.choices)
    outside_reference = forms.CharField(
        label=gettext_lazy("Reference of the payout"),
        max_length=refunds.LONGEST_REFERENCE,
        required=False,
        help_text=gettext_lazy(
            "The reference that FeexPay or the operator gave the payout. Cash, a balance or another way may have none."
        ),
    )
    phone = forms.CharField(
        label=gettext_lazy("Phone number of the payer"),
        max_length=40,
        required=False,
        widget=WriteOnlyInput(attrs={"autocomplete": "off", "inputmode": "tel"}),
        help_text=gettext_lazy(
            "Only for a payout through FeexPay: the number was erased. Ask the payer for it. It must be the number "
            "that paid, and it is erased again when the refund has ended."
        ),
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    field_order = ("amount", "way", "outside_reference", "phone", "reason")

    def __init__(self, data: Any, *, charge: RefundableCharge) -> None:
        super().__init__(data, initial={"amount": max(charge.left, 0) or None})
        if not payout_terms.is_offered(charge.attempt):
            way = self.fields["way"]
            ways = [choice for choice in Refund.Way.choices if choice[0] != Refund.Way.PAYOUT]
            way.choices = ways  # type: ignore[attr-defined]  # a ChoiceField
        if not payout_terms.is_offered(charge.attempt) or charge.attempt.msisdn_sealed is not None:
            del self.fields["phone"]
        self.fields["amount"].label = _("Amount in %(currency)s") % {"currency": charge.currency}


class CloseIncidentForm(ReasonForm):
    """How an incident ended, and what was done."""

    resolution = forms.ChoiceField(label=gettext_lazy("How it ended"), widget=forms.RadioSelect)
    field_order = ("resolution", "reason")

    def __init__(self, data: Any, *, kind: Incident.Kind, chosen: str) -> None:
        super().__init__(data, initial={"resolution": chosen})
        offered = [(choice.value, choice.label) for choice in incidents.RESOLUTIONS[kind]]
        self.fields["resolution"].choices = offered  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["reason"].label = _("What was done")


# --- addresses and rights ------------------------------------------------------------------------------


def may(request: HttpRequest) -> bool:
    """Whether this user may record refunds: the page shows what the payment's page shows."""
    return request.user.has_perms([PERMISSION, "feexpay.view_payment"])


def record_url(request: HttpRequest, charge: RefundableCharge | None) -> str:
    """The address that records a refund of a charge; "" if nothing is left of it, or the user may not."""
    if charge is None or charge.left <= 0 or not may(request):
        return ""
    about: dict[str, Any] = {"payment": charge.attempt.payment_id}
    if charge.incident is not None:
        about["incident"] = charge.incident.pk
    return f"{reverse(f'admin:feexpay_refund_{RECORD}')}?{urlencode(about)}"


def urls_of(request: HttpRequest, payment: Payment) -> list[str]:
    """The address that records a refund of the payment's credited charge, if there is something left of it.

    A second charge is refunded from its incident, which the page links to.
    """
    if payment.status != Status.SUCCESSFUL or not may(request):
        return []
    url = record_url(request, refunds.charge_of(payment.pk))
    return [url] if url else []


def close_url(request: HttpRequest, incident: Incident) -> str:
    """The address that closes an incident; "" if it is closed, or the user may not."""
    if incident.closed_at is not None or not request.user.has_perms([CLOSE_PERMISSION, "feexpay.view_incident"]):
        return ""
    return f"{reverse('admin:feexpay_incident_close')}?incident={incident.pk}"


# --- what the pages show -------------------------------------------------------------------------------


def facts_of(charge: RefundableCharge) -> dict[str, Any]:
    """A charge in words and amounts, for the template `refund/charge.html`."""
    kind = None if charge.incident is None else charge.incident.kind
    is_reversal = kind == Incident.Kind.REVERSED_AFTER_CREDIT
    return {
        "taken": display.amount(charge.taken, charge.currency),
        "recorded": display.amount(charge.recorded, charge.currency),
        "proposed": display.amount(charge.proposed, charge.currency) if charge.proposed else "",
        "owed": display.amount(charge.owed, charge.currency),
        "is_owed": charge.owed > 0,
        "is_reversal": is_reversal,
        "is_payout": kind == Incident.Kind.PAYOUT_UNDONE,
        "is_estimate": charge.incident is not None and not charge.credited and charge.incident.amount is None,
        "reference": charge.reference,
        "phone": charge.attempt.masked_msisdn,
        "ordinal": charge.attempt.ordinal,
    }


def state_badge(refund: Refund) -> SafeString:
    return display.pill(refund.get_state_display(), _TONES[refund.state])


def refunds_of(request: HttpRequest, rows: Sequence[Refund]) -> list[dict[str, Any]]:
    """Refunds for the template `refund/list.html`, with the names of the people."""
    names = names_of({name for row in rows for name in (row.proposed_by, row.approved_by, row.cancelled_by)})
    opens = request.user.has_perm("feexpay.view_refund")
    decides = opens and request.user.has_perm(PERMISSION)
    return [
        {
            "row": row,
            "url": reverse("admin:feexpay_refund_change", args=[row.pk]) if opens else "",
            "decisions": _decision_urls(row) if decides and row.state == Refund.State.PROPOSED else (),
            "state": state_badge(row),
            "amount": display.amount(row.amount, row.currency),
            "by": names[row.proposed_by],
            "approved_by": names[row.approved_by],
            "cancelled_by": names[row.cancelled_by],
        }
        for row in rows
    ]


def _decision_urls(refund: Refund) -> list[tuple[Any, str]]:
    """The titles and addresses that approve and cancel a proposed refund."""
    query = urlencode({"refund": refund.pk})
    decisions = [
        (title, f"{reverse(f'admin:feexpay_refund_{name}')}?{query}")
        for name, title in (
            ("approve", gettext_lazy("Approve the refund")),
            ("cancel", gettext_lazy("Cancel the refund")),
        )
    ]
    # A payout is sent from the page of its refund, with a permission of its own.
    return decisions[1:] if refund.way == Refund.Way.PAYOUT else decisions


# --- record a refund -----------------------------------------------------------------------------------


def record_refund(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the charge and ask for the refund; posted with one, record or propose it.

    Raises: PermissionDenied; Http404 for an unknown payment or incident.
    """
    if not may(request):
        raise PermissionDenied
    payment = _payment(request)
    incident_id = _incident_id(request, payment)
    back_url = _back_url(request, payment, incident_id)
    try:
        charge = refunds.charge_of(payment.pk, incident_id)
        form = RefundForm(request.POST if request.method == "POST" else None, charge=charge)
        request.POST = QueryDict()  # error reports quote POST
        if form.is_valid() and _record(model_admin, request, payment, incident_id, form):
            return HttpResponseRedirect(back_url)
    except NotAllowedError as refusal:
        model_admin.message_user(request, refusal.message, messages.WARNING)
        again = request.get_full_path() if refusal.code == "refunds_changed" else back_url
        return HttpResponseRedirect(again)
    context = {
        **_context(model_admin, request, TITLE, form, back_url),
        "payment": payment,
        "charge": facts_of(charge),
        "seen": charge.refunded,
        "offers_payout": payout_terms.is_offered(charge.attempt),
    }
    return TemplateResponse(request, "admin/feexpay/refund/record.html", context)


def _record(
    model_admin: AnyModelAdmin, request: HttpRequest, payment: Payment, incident_id: int | None, form: RefundForm
) -> bool:
    """Record what the form says; False: the form has an error now. Raises: NotAllowedError."""
    given = form.cleaned_data
    try:
        refund = refunds.record(
            payment.pk,
            incident_id=incident_id,
            amount=given["amount"],
            way=given["way"],
            outside_reference=given["outside_reference"],
            reason=given["reason"],
            actor=str(request.user.pk),
            source=Source.ADMIN,
            refunded_before=given["seen"],
            phone=PrivateText(given.get("phone", "")),
        )
    except NotAllowedError as refusal:
        if refusal.code == "msisdn_erased" and "phone" in form.fields:
            form.add_error("phone", refusal.message)
        elif refusal.code in ("too_much", "amount_too_low"):
            form.add_error("amount", refusal.message)
        elif refusal.code == "validation_error":
            form.add_error(refusal.errors[0].field, refusal.errors[0].message)
        else:
            raise
        return False
    if refund.state == Refund.State.PROPOSED:
        text = _("Proposed. The refund counts when a second person approves it.")
        if refund.way == Refund.Way.PAYOUT:
            text = _("Proposed. Nothing was paid: a second person must approve the payout and have it sent.")
        model_admin.message_user(request, text, messages.INFO)
    else:
        model_admin.message_user(request, _("The refund is recorded."), messages.SUCCESS)
    return True


def _payment(request: HttpRequest) -> Payment:
    try:
        return Payment.objects.select_related("provider").get(pk=UUID(request.GET["payment"]))
    except (KeyError, ValueError, Payment.DoesNotExist):
        raise Http404 from None


def _incident_id(request: HttpRequest, payment: Payment) -> int | None:
    given = request.GET.get("incident")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal()) or not payment.incidents.filter(pk=int(given)).exists():
        raise Http404
    return int(given)


def _back_url(request: HttpRequest, payment: Payment, incident_id: int | None) -> str:
    if incident_id is not None and request.user.has_perm("feexpay.view_incident"):
        return reverse("admin:feexpay_incident_change", args=[incident_id])
    return reverse("admin:feexpay_payment_change", args=[payment.pk])


def _context(
    model_admin: AnyModelAdmin, request: HttpRequest, title: Any, form: forms.Form, back_url: str
) -> dict[str, Any]:
    return {
        **page_context(model_admin, request, title),
        "form": form,
        "back_url": back_url,
    }


# --- close an incident ---------------------------------------------------------------------------------


def close_incident(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the charge and ask how the incident ended; posted with an answer, close it.

    Raises: PermissionDenied; Http404 for an unknown incident.
    """
    if not (model_admin.has_view_permission(request) and request.user.has_perm(CLOSE_PERMISSION)):
        raise PermissionDenied
    given = request.GET.get("incident", "")
    incident = Incident.objects.filter(pk=int(given)).first() if given.isascii() and given.isdecimal() else None
    if incident is None:
        raise Http404
    charge = refunds.charge_of(incident.payment_id, incident.pk)
    chosen = "" if charge.owed > 0 else Incident.Resolution.REFUNDED.value
    form = CloseIncidentForm(
        request.POST if request.method == "POST" else None, kind=Incident.Kind(incident.kind), chosen=chosen
    )
    back_url = reverse("admin:feexpay_incident_change", args=[incident.pk])
    if form.is_valid() and _close(model_admin, request, incident, form):
        return HttpResponseRedirect(back_url)
    context = {
        **_context(model_admin, request, CLOSE_TITLE, form, back_url),
        "kind": incident.get_kind_display(),
        "charge": facts_of(charge),
        "record_url": record_url(request, charge),
    }
    return TemplateResponse(request, "admin/feexpay/incident/close.html", context)


def _close(model_admin: AnyModelAdmin, request: HttpRequest, incident: Incident, form: CloseIncidentForm) -> bool:
    """Close the incident as the form says; False: the form has an error now."""
    try:
        closed = incidents.close(
            incident.pk,
            form.cleaned_data["reason"],
            resolution=form.cleaned_data["resolution"],
            actor=str(request.user.pk),
            source=Source.ADMIN,
        )
    except NotAllowedError as refusal:
        form.add_error("resolution", refusal.message)
        return False
    if closed:
        model_admin.message_user(request, _("The incident is closed."), messages.SUCCESS)
    else:
        text = _("This incident was closed before; its first note stays.")
        model_admin.message_user(request, text, messages.WARNING)
    return True
