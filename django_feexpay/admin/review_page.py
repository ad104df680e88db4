"""The page that closes a review: FeexPay's current answer, and the effect of each possible decision.

It asks FeexPay when it opens and again when staff send the form. The form carries the answer that the page showed:
if FeexPay's answer has changed since, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display, event_texts
from django_feexpay.admin.confirm_action import ReasonForm
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.people import name_of, names_of
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.catalogue import money
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, ReviewDecision, ReviewProposal
from django_feexpay.payments import review_facts, reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.review_facts import Facts

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

PERMISSION = "feexpay.close_review"
NAME = "close_review"
TITLE = gettext_lazy("Close the review")

#: Refusals after which this page has nothing more to show.
_FINAL_REFUSALS = frozenset({"decided_by_gateway", "not_under_review", "gateway_unavailable"})

_TITLES: Mapping[ReviewDecision, str | StrPromise] = {
    ReviewDecision.CREDIT_TAKEN: gettext_lazy("Credit what FeexPay took"),
    ReviewDecision.CREDIT_PRICE: gettext_lazy("Credit what was asked for"),
    ReviewDecision.NOT_PAID: gettext_lazy("Not paid"),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One decision as the page shows it. objection: why FeexPay's answer forbids it, or ""."""

    value: str
    title: str
    effect: str
    objection: str


class ReviewForm(ReasonForm):
    """A decision and its reason; hidden fields hold the facts of the page. Approving uses the shown proposal."""

    decision = forms.ChoiceField(
        label=gettext_lazy("Decision"), choices=ReviewDecision.choices, widget=forms.RadioSelect, required=False
    )
    attempt = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.CharField(widget=forms.HiddenInput, max_length=64)
    proposed = forms.CharField(widget=forms.HiddenInput, max_length=16, required=False)

    field_order = ("decision", "reason")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["approve"] = "approve" in self.data
        if cleaned["approve"]:
            cleaned["decision"] = cleaned.get("proposed", "")
        elif not cleaned.get("decision") and "decision" not in self.errors:
            self.add_error("decision", _("Choose a decision."))
        return cleaned


def may_close_reviews(request: HttpRequest) -> bool:
    """Whether this user may close reviews, or propose and approve a decision."""
    return request.user.has_perm(PERMISSION)


def address(payment_id: UUID) -> str:
    """The address of the page that closes the review of a payment."""
    return f"{reverse(f'admin:feexpay_payment_{NAME}')}?payment={payment_id}"


def close_review(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the facts and ask for a decision; posted with one, close the review or propose the decision.

    Must run outside a transaction. Raises: PermissionDenied; Http404 for an unknown payment.
    """
    if not (model_admin.has_view_permission(request) and may_close_reviews(request)):
        raise PermissionDenied
    payment = _payment(request)
    form = ReviewForm(request.POST if request.method == "POST" else None)
    try:
        if form.is_valid():
            _close(model_admin, request, payment, form.cleaned_data)
            return HttpResponseRedirect(_page_of(payment))
        return _show(model_admin, request, payment, form)
    except NotAllowedError as refusal:
        model_admin.message_user(request, refusal.message or refusal.code, messages.WARNING)
        return HttpResponseRedirect(_page_of(payment) if refusal.code in _FINAL_REFUSALS else address(payment.pk))


def last_answer(attempt: Attempt) -> dict[str, Any] | None:
    """Why an attempt came under review, and FeexPay's answer at that time."""
    event = attempt.events.filter(to_status=Status.REVIEW).order_by("-id").first()
    if event is None:
        return None
    return {
        "cause": event_texts.event_text(event),
        "text": event_texts.answer_text(attempt, event),
        "at": event.created_at,
    }


def _payment(request: HttpRequest) -> Payment:
    try:
        return Payment.objects.select_related("provider", "latest_attempt").get(pk=UUID(request.GET["payment"]))
    except (KeyError, ValueError, Payment.DoesNotExist):
        raise Http404 from None


def _page_of(payment: Payment) -> str:
    return reverse("admin:feexpay_payment_change", args=[payment.pk])


def _close(model_admin: AnyModelAdmin, request: HttpRequest, payment: Payment, given: Mapping[str, Any]) -> None:
    closing = reviews.close(
        payment.pk,
        given["decision"],
        reason=given["reason"],
        actor=str(request.user.pk),
        source=Source.ADMIN,
        approve=given["approve"],
        attempt_id=given["attempt"],
        seen=given["seen"],
    )
    if closing.proposal is not None:
        text = _("Proposed. Nothing happens until a second person approves it.")
        model_admin.message_user(request, text, messages.INFO)
    else:
        model_admin.message_user(request, _("The review is closed."), messages.SUCCESS)


def _show(model_admin: AnyModelAdmin, request: HttpRequest, payment: Payment, form: ReviewForm) -> HttpResponse:
    attempt = reviews.under_review(payment.pk)
    if attempt is None:
        raise NotAllowedError("not_under_review", _("This payment is not under review."))
    facts = reviews.fetch_facts(attempt, source=Source.ADMIN, actor=str(request.user.pk))
    proposal = reviews.open_proposal(attempt)
    context = {
        **page_context(model_admin, request, TITLE),
        "form": form,
        "back_url": _page_of(payment),
        "payment": payment,
        "attempt": attempt,
        "gateway_answer": review_facts.describe_report(attempt, facts.report, history_complete=facts.history_complete),
        "asked_at": facts.asked_at,
        "answer": last_answer(attempt),
        # The values of the answer shown now, even where an incomplete form is shown again.
        "hidden": {
            "attempt": str(attempt.pk),
            "seen": facts.fingerprint,
            "proposed": proposal.decision if proposal else "",
        },
        "options": _options(attempt, facts),
        "chosen": form.data.get("decision", ""),
        "two_persons": reviews.needs_second_person(attempt, facts),
        "proposal": _proposal(proposal, request) if proposal else None,
        "is_credited": payment.status == Status.SUCCESSFUL,
        "others": payment.attempts.filter(status=Status.REVIEW).exclude(pk=attempt.pk).count(),
    }
    return TemplateResponse(request, "admin/feexpay/payment/review.html", context)


def _options(attempt: Attempt, facts: Facts) -> list[Option]:
    return [
        Option(
            value=decision.value,
            title=str(_TITLES[decision]),
            effect=_effect(decision, attempt, facts),
            objection=refusal.message if (refusal := reviews.refusal_of(decision, attempt, facts)) else "",
        )
        for decision in ReviewDecision
    ]


def _effect(decision: ReviewDecision, attempt: Attempt, facts: Facts) -> str:
    """The effect of a decision, with its amount."""
    currency = attempt.payment.charged_currency
    if decision is ReviewDecision.NOT_PAID:
        return _("The payment fails. The payer reads that nothing was taken, and may pay again.")
    amount = facts.report.amount if decision is ReviewDecision.CREDIT_TAKEN else attempt.amount
    if not amount:
        return _("FeexPay's amount is credited.")
    text = _("%(amount)s are credited, and the payer reads that the payment succeeded.")
    return text % {"amount": money.show(amount, currency)}


def _proposal(proposal: ReviewProposal, request: HttpRequest) -> dict[str, Any]:
    return {
        "row": proposal,
        "title": _TITLES[ReviewDecision(proposal.decision)],
        "by": name_of(proposal.proposed_by),
        "is_mine": proposal.proposed_by == str(request.user.pk),
    }


def proposals_of(payment: Payment, most: int) -> list[dict[str, Any]]:
    """The proposals for a payment's attempts, newest first."""
    rows = list(
        ReviewProposal.objects.filter(attempt__payment=payment).select_related("attempt").order_by("-id")[:most]
    )
    names = names_of([row.proposed_by for row in rows] + [row.ended_by for row in rows])
    return [
        {
            "row": row,
            "title": _TITLES[ReviewDecision(row.decision)],
            "by": names[row.proposed_by],
            "ended_by": names[row.ended_by],
            "outcome": outcome_badge(row),
        }
        for row in rows
    ]


def outcome_badge(proposal: ReviewProposal) -> SafeString:
    tones = {ReviewProposal.Outcome.OPEN: display.Tone.DOUBT, ReviewProposal.Outcome.APPROVED: display.Tone.GOOD}
    tone = tones.get(ReviewProposal.Outcome(proposal.outcome), display.Tone.QUIET)
    return display.pill(proposal.get_outcome_display(), tone)
