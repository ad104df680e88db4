"""Acts on payments: *Ask FeexPay now* and *Retry*. A reason first, then the functions of `payments` the API calls.

They run in a view of their own: the admin's change form runs inside a transaction, where nothing may be sent.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from django_feexpay.admin import display
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.gateway.reports import StatusReport
from django_feexpay.lifecycle import PublicStatus, Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import ask
from django_feexpay.payments.retry import retry
from django_feexpay.payments.review_facts import in_words

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: At most so many payments an act, and no new one is begun after so many seconds: the browser waits for the page.
MOST_PAYMENTS = 50
TIMEOUT_SECONDS = 15.0
_LOOK_SECONDS = 5.0


class Ending(StrEnum):
    """How an act ended for one payment."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One payment's ending, and in words for staff why, or what FeexPay said where that changed nothing."""

    ending: Ending
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something staff may do to payments. `run` takes a payment's id, the actor and the reason."""

    name: str
    permission: str
    title: str | StrPromise
    explanation: str | StrPromise
    run: Callable[[UUID, str, str], Outcome]


class ReasonForm(forms.Form):
    """Why it is done. Kept for ever in the payment's history."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=gettext_lazy("Kept for ever in the payment's history: write no name and no phone number here."),
    )


def ask_gateway(payment_id: UUID, actor: str, note: str) -> Outcome:
    """Ask FeexPay about every attempt of a payment, and settle each by the answer."""
    asked = Attempt.objects.filter(payment=payment_id).exclude(status=Status.SENDING)
    attempts = list(asked.select_related("payment").order_by("ordinal"))
    if not attempts:
        return Outcome(Ending.SKIPPED, _("It is being sent to FeexPay just now."))
    try:
        answers = [
            (attempt, ask(attempt.pk, source=Source.ADMIN, actor=actor, note=note, total_seconds=_LOOK_SECONDS))
            for attempt in attempts
        ]
    except NotAllowedError as refusal:  # autocommit is off
        return Outcome(Ending.SKIPPED, refusal.message or refusal.code)
    if any(report is None for attempt, report in answers):
        return Outcome(Ending.FAILED, _("FeexPay did not answer, or does not know it yet."))
    return Outcome(Ending.DONE, " ".join(_unchanged(answers)))


def _unchanged(answers: Sequence[tuple[Attempt, StatusReport | None]]) -> Iterator[str]:
    """What FeexPay said of each attempt that stands where it stood."""
    now = dict(Attempt.objects.filter(pk__in=[attempt.pk for attempt, _report in answers]).values_list("pk", "status"))
    for attempt, report in answers:
        if report is not None and now[attempt.pk] == attempt.status:
            words = {"ordinal": attempt.ordinal, "said": in_words(attempt, report)}
            yield _("Attempt %(ordinal)s is unchanged. %(said)s") % words


def retry_payment(payment_id: UUID, actor: str, note: str) -> Outcome:
    """Start a new attempt of a payment, if its earlier ones surely failed."""
    language = get_language() or "en"
    try:
        payment = retry(payment_id, source=Source.ADMIN, actor=actor, note=note, language=language)
    except NotAllowedError as refusal:
        return Outcome(Ending.SKIPPED, refusal.message or refusal.code)
    if payment.public_status is PublicStatus.FAILED:
        return Outcome(Ending.FAILED, payment.attempt.reason_text or payment.attempt.reason_code)
    return Outcome(Ending.DONE)


RECONCILE = Act(
    name="reconcile",
    permission="feexpay.reconcile_payment",
    title=gettext_lazy("Ask FeexPay now"),
    explanation=gettext_lazy(
        "FeexPay is asked about every attempt, and its answer settles them. A payment that turns out to be paid is "
        "credited, once. Nobody is charged by asking."
    ),
    run=ask_gateway,
)
RETRY = Act(
    name="retry",
    permission="feexpay.retry_payment",
    title=gettext_lazy("Retry"),
    explanation=gettext_lazy(
        "FeexPay is asked about the earlier attempts first. If none of them was or can still be charged, the payer's "
        "phone asks for the money again, on the same number."
    ),
    run=retry_payment,
)
ACTS = (RECONCILE, RETRY)


def may(request: HttpRequest, act: Act) -> bool:
    """Whether this member of staff may do it."""
    return request.user.has_perm(act.permission)


def address(act: Act, payment_ids: Iterable[UUID]) -> str:
    """Where an act on these payments asks for its reason."""
    chosen = urlencode([("payment", payment_id) for payment_id in payment_ids])
    return f"{reverse(f'admin:feexpay_payment_{act.name}')}?{chosen}"


def confirm(model_admin: AnyModelAdmin, request: HttpRequest, act: Act) -> HttpResponse:
    """The page that asks for the reason; posted with one, it does the act and reports.

    Must run outside a transaction. Raises: PermissionDenied; Http404 for payments that are not there.
    """
    if not (model_admin.has_view_permission(request) and may(request, act)):
        raise PermissionDenied
    payments = _chosen(request)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return TemplateResponse(
            request, "admin/feexpay/payment/confirm.html", _context(model_admin, request, act, payments, form)
        )
    endings = _run(model_admin, request, act, payments, form.cleaned_data["reason"])
    _report(model_admin, request, act, endings)
    return HttpResponseRedirect(_way_back(payments))


def _chosen(request: HttpRequest) -> list[Payment]:
    try:
        ids = {UUID(value) for value in request.GET.getlist("payment")}
    except ValueError:
        raise Http404 from None
    payments = list(Payment.objects.filter(pk__in=ids).select_related("provider", "latest_attempt"))
    if not 0 < len(payments) == len(ids) <= MOST_PAYMENTS:
        raise Http404
    return payments


def _context(
    model_admin: AnyModelAdmin, request: HttpRequest, act: Act, payments: Sequence[Payment], form: ReasonForm
) -> dict[str, Any]:
    return {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": act.title,
        "media": model_admin.media,
        "act": act,
        "form": form,
        "way_back": _way_back(payments),
        "rows": [
            {
                "payment": payment,
                "status": display.status_badge(payment.status),
                "amount": display.amount(payment.amount, payment.currency),
            }
            for payment in payments
        ],
    }


def _run(
    model_admin: AnyModelAdmin, request: HttpRequest, act: Act, payments: Sequence[Payment], reason: str
) -> list[tuple[Payment, Outcome]]:
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    endings = []
    for payment in payments:
        if time.monotonic() >= give_up_at:
            outcome = Outcome(Ending.SKIPPED, _("Not reached in the time there was: choose it again."))
        else:
            outcome = act.run(payment.pk, str(request.user.pk), reason)
            # A look that moves nothing writes no event: who asked, and why, is kept here.
            model_admin.log_change(request, payment, f"{act.name} ({outcome.ending}): {reason}")
        endings.append((payment, outcome))
    return endings


def _report(
    model_admin: AnyModelAdmin, request: HttpRequest, act: Act, endings: Sequence[tuple[Payment, Outcome]]
) -> None:
    counts = {ending.value: sum(outcome.ending is ending for payment, outcome in endings) for ending in Ending}
    summary = _("%(act)s: %(done)d done, %(skipped)d skipped, %(failed)d failed.") % {"act": act.title, **counts}
    by_words = _by_words(endings)
    all_done = counts["done"] == len(endings) and not by_words
    model_admin.message_user(request, summary, messages.SUCCESS if all_done else messages.WARNING)
    for words, payments in by_words.items():
        named = ", ".join(f"{str(payment.pk)[:8]}…" for payment in payments)
        model_admin.message_user(request, f"{words} ({named})", messages.WARNING)


def _by_words(endings: Sequence[tuple[Payment, Outcome]]) -> dict[str, list[Payment]]:
    grouped: dict[str, list[Payment]] = defaultdict(list)
    for payment, outcome in endings:
        if outcome.words:
            grouped[outcome.words].append(payment)
    return grouped


def _way_back(payments: Sequence[Payment]) -> str:
    if len(payments) == 1:
        return reverse("admin:feexpay_payment_change", args=[payments[0].pk])
    return reverse("admin:feexpay_payment_changelist")


def too_many(model_admin: AnyModelAdmin, request: HttpRequest) -> None:
    """Tell that an act takes fewer payments than were chosen."""
    words = _("At most %(most)d payments at once: nothing was done. Choose fewer.") % {"most": MOST_PAYMENTS}
    model_admin.message_user(request, words, messages.ERROR)
