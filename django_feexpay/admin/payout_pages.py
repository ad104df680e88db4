"""What pages show of payouts, and the page that closes a payout whose outcome stayed unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display
from django_feexpay.admin.confirm_action import ReasonForm
from django_feexpay.admin.display import Tone
from django_feexpay.admin.event_texts import EVENT_TEXTS
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.people import names_of
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.models import Incident, Payout, PayoutState
from django_feexpay.payments import payouts
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

PERMISSION = "feexpay.send_payout"
CLOSE_TITLE = gettext_lazy("Close the payout")

_TONES: Mapping[str, Tone] = {
    PayoutState.CREATED: Tone.QUIET,
    PayoutState.SENDING: Tone.WAITING,
    PayoutState.PENDING: Tone.WAITING,
    PayoutState.UNKNOWN: Tone.DOUBT,
    PayoutState.SUCCESSFUL: Tone.GOOD,
    PayoutState.FAILED: Tone.BAD,
}
#: By `Payout.reason_code` and `PayoutEvent.because`, where they mean something else than for a payment.
_TEXTS: Mapping[str, str | StrPromise] = {
    "approved": gettext_lazy("approved by a second person"),
    "accepted": gettext_lazy("FeexPay accepted the payout"),
    "confirmed": gettext_lazy("FeexPay confirms: paid out"),
    "failed": gettext_lazy("FeexPay confirms: not paid out"),
    "payouts_off": gettext_lazy("payouts were switched off; not sent"),
    "no_payout_route": gettext_lazy("FeexPay has no payout to this provider; not sent"),
    "never_sent": gettext_lazy("FeexPay could not be reached; nothing was sent"),
    "payout_not_enabled": gettext_lazy("FeexPay refused: payouts are not enabled for your shop"),
    "balance_too_low": gettext_lazy("FeexPay refused: your balance with this provider is too low"),
    "outcome_unknown": gettext_lazy("FeexPay's answer was lost; it is not sent again"),
    "payment_named": gettext_lazy("FeexPay answered with an error that names a payout; it is not sent again"),
    "rate_limited": gettext_lazy("FeexPay's rate limit was reached; it is not sent again"),
    "network_unavailable": gettext_lazy("FeexPay reports maintenance at the operator; it is not sent again"),
    "sender_died": gettext_lazy("the process that sent it stopped before the answer; it is not sent again"),
    "reference_conflict": gettext_lazy("another payout has this reference already"),
    "echo_mismatch": gettext_lazy("FeexPay's answer is about another payout"),
    "msisdn_mismatch": gettext_lazy("FeexPay's answer has another number"),
    "amount_mismatch": gettext_lazy("FeexPay's answer has another amount, or none"),
    "not_decided": gettext_lazy("FeexPay did not decide in a day"),
    "closed_as_paid": gettext_lazy("closed by staff: paid out"),
    "closed_as_not_paid": gettext_lazy("closed by staff: not paid out"),
}


def cause_text(code: str) -> str:
    """A cause in words; the code itself if there are none."""
    return str(_TEXTS.get(code) or EVENT_TEXTS.get(code) or code)


def state_badge(payout: Payout, *, undone: bool) -> SafeString:
    """`undone`: FeexPay says that it undid the payout (`undone_incidents`)."""
    if undone:
        return display.pill(_("paid, then undone"), Tone.BAD)
    return display.pill(payout.get_state_display(), _TONES[payout.state])


def undone_incidents() -> QuerySet[Incident]:
    """The incidents of undone payouts, without those of which staff found that the payer has the money."""
    undone = Incident.objects.filter(kind=Incident.Kind.PAYOUT_UNDONE)
    return undone.exclude(resolution=Incident.Resolution.NO_MONEY_LOST)


def payouts_of(request: HttpRequest, rows: Iterable[Payout]) -> list[dict[str, Any]]:
    """Payouts for the template `payout/list.html`; none for staff who may not view payouts."""
    if not request.user.has_perm("feexpay.view_payout"):
        return []
    found = list(rows)
    undone = set(undone_incidents().filter(payout__in=found).values_list("payout", flat=True)) if found else set()
    names = names_of({name for row in found for name in (row.proposed_by, row.approved_by, row.closed_by)})
    return [
        {
            "row": row,
            "url": reverse("admin:feexpay_payout_change", args=[row.pk]),
            "state": state_badge(row, undone=row.pk in undone),
            "is_undone": row.pk in undone,
            "amount": display.amount(row.amount, row.currency),
            "cause": cause_text(row.reason_code) if row.reason_code else "",
            "proposed_by": names[row.proposed_by],
            "approved_by": names[row.approved_by],
            "closed_by": names[row.closed_by],
        }
        for row in found
    ]


def events_of(payout: Payout) -> list[dict[str, Any]]:
    """The changes of a payout for its page, oldest first; a payout has a few."""
    events = list(payout.events.order_by("id")[:100])
    names = names_of({event.actor for event in events})
    return [
        {
            "row": event,
            "state": display.pill(event.get_to_state_display(), _TONES[event.to_state]),
            "text": cause_text(event.because),
            "actor": names[event.actor],
        }
        for event in events
    ]


def may_close(request: HttpRequest) -> bool:
    return request.user.has_perms([PERMISSION, "feexpay.view_payout"])


def close_url(request: HttpRequest, payout: Payout) -> str:
    """The address that closes an unknown payout; "" if it is not unknown, or the user may not."""
    if payout.life_state is not PayoutState.UNKNOWN or not may_close(request):
        return ""
    return f"{reverse('admin:feexpay_payout_close')}?payout={payout.pk}"


class ClosePayoutForm(ReasonForm):
    """What FeexPay's dashboard shows of a payout."""

    paid = forms.ChoiceField(
        label=gettext_lazy("What FeexPay's dashboard shows"),
        choices=(
            ("yes", gettext_lazy("the payout was paid")),
            ("no", gettext_lazy("the payout failed, or is not there")),
        ),
        widget=forms.RadioSelect,
    )
    outside_reference = forms.CharField(
        label=gettext_lazy("Reference that the dashboard shows"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("Needed if it was paid."),
    )
    evidence = forms.CharField(
        label=gettext_lazy("What you saw"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=gettext_lazy(
            "For example the day, the status and the balance that the dashboard shows, or the answer of FeexPay's "
            "support. Write no name and no phone number here."
        ),
    )
    field_order = ("paid", "outside_reference", "evidence", "reason")


def close_payout(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the payout and ask what FeexPay's dashboard shows; posted with an answer, close it.

    Raises: PermissionDenied; Http404 for an unknown payout.
    """
    if not may_close(request):
        raise PermissionDenied
    payout = _payout(request)
    form = ClosePayoutForm(request.POST if request.method == "POST" else None)
    back_url = reverse("admin:feexpay_payout_change", args=[payout.pk])
    if form.is_valid() and _close(model_admin, request, payout, form):
        return HttpResponseRedirect(back_url)
    context = {
        **page_context(model_admin, request, CLOSE_TITLE),
        "form": form,
        "back_url": back_url,
        "payout": payouts_of(request, [payout])[0],
    }
    return TemplateResponse(request, "admin/feexpay/payout/close.html", context)


def _payout(request: HttpRequest) -> Payout:
    try:
        return Payout.objects.get(pk=UUID(request.GET["payout"]))
    except (KeyError, ValueError, Payout.DoesNotExist):
        raise Http404 from None


def _close(model_admin: AnyModelAdmin, request: HttpRequest, payout: Payout, form: ClosePayoutForm) -> bool:
    """Close the payout as the form says; False: the form has an error now."""
    given = form.cleaned_data
    try:
        payouts.close(
            payout.pk,
            paid=given["paid"] == "yes",
            outside_reference=given["outside_reference"],
            evidence=given["evidence"],
            reason=given["reason"],
            actor=str(request.user.pk),
            source=Source.ADMIN,
        )
    except NotAllowedError as refusal:
        if refusal.code == "validation_error":
            form.add_error(refusal.errors[0].field, refusal.errors[0].message)
            return False
        model_admin.message_user(request, refusal.message, messages.WARNING)
        return True
    model_admin.message_user(request, _("The payout is closed."), messages.SUCCESS)
    return True
