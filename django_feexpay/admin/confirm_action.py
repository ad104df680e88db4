"""Actions that staff confirm with a reason: the page that asks, the run and the report.

The page has a view of its own, outside any transaction: the admin's change form runs inside one, where nothing may
be sent to FeexPay.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import display_for_field, label_for_field, lookup_field
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from django_feexpay import log_context
from django_feexpay.admin import display
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.models import StaffAction
from django_feexpay.payments import staff_actions
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: Rows that one confirmation takes; their ids must fit into an address of 4 000 characters.
MAX_ROWS = 50
#: The action starts no further row after this time, because a person waits for the page.
TIMEOUT_SECONDS = 15.0
#: The list of records among Django's places for actions (`ActionLocation`, which Django 5.2 and 6.0 do not have).
_LIST = "CHANGE_LIST"
#: How an action ended for one row.
Result = StaffAction.Result
_REASON_HELP = gettext_lazy("The payment's history keeps this for ever: write no name and no phone number here.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one row, and its explanation for staff."""

    result: Result
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedAction:
    """An action on chosen rows. `run` takes a row, the id of the acting user and the reason.

    `name` is a part of the address. `applies`: whether the page of a row offers the action. `bulk`: the list offers it,
    too, for several rows at once. `recorded_as`: written to the audit list for each row after its run; None: `run`
    writes it itself. `skipped_as`: what `run` skipped is written as this; `run` writes only what it did. `columns`:
    what its page shows of each row, if not the `confirm_columns` of the admin.
    """

    name: str
    permission: str
    title: str | StrPromise
    run: Callable[[Any, str, str], Outcome]
    applies: Callable[[Any], bool]
    recorded_as: StaffAction.Action | None = None
    skipped_as: StaffAction.Action | None = None
    explanation: str | StrPromise = ""
    reason_label: str | StrPromise = gettext_lazy("Reason")
    reason_help: str | StrPromise = _REASON_HELP
    bulk: bool = True
    columns: tuple[str, ...] = ()


def done_or_skipped(decide: Callable[..., object]) -> Callable[[Any, str, str], Outcome]:
    """The `run` of an action that is one function of `payments`: a row that it refuses is skipped, and staff read why.

    `decide` takes the primary key of the row, and `reason`, `actor` and `source` by name.
    """

    def run(row: Any, actor: str, reason: str) -> Outcome:
        try:
            decide(row.pk, reason=reason, actor=actor, source=Source.ADMIN)
        except NotAllowedError as refusal:
            return Outcome(Result.SKIPPED, refusal.message or refusal.code)
        return Outcome(Result.DONE)

    return run


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=_REASON_HELP,
    )


def close_action(
    permission: str,
    close: Callable[[int, str], bool],
    *,
    title: str | StrPromise,
    recorded_as: StaffAction.Action,
    is_open: Callable[[Any], bool],
    already_closed: str | StrPromise,
) -> ConfirmedAction:
    """The action that closes open rows with a note. `close` returns False for a row that was closed before.

    The audit list gets its row in the same transaction: no row is closed without it.
    """

    @transaction.atomic
    def run(row: Any, actor: str, note: str) -> Outcome:
        is_closed = close(row.pk, note)
        outcome = Outcome(Result.DONE) if is_closed else Outcome(Result.SKIPPED, str(already_closed))
        staff_actions.record(
            recorded_as, actor=actor, source=Source.ADMIN, target=row, result=outcome.result, reason=note
        )
        return outcome

    return ConfirmedAction(
        name="close",
        permission=permission,
        title=title,
        run=run,
        applies=is_open,
        reason_label=gettext_lazy("What was done"),
        reason_help=gettext_lazy("For example the reference of the refund. Write no name and no phone number here."),
    )


class ConfirmedActionsAdmin(LedgerAdmin):
    """A read-only list whose rows take actions that staff confirm with a reason."""

    change_form_template = "admin/feexpay/page_actions.html"
    confirmed_actions: ClassVar[tuple[ConfirmedAction, ...]]
    #: Columns of this admin that the confirmation page shows of each row.
    confirm_columns: ClassVar[tuple[str, ...]]
    list_select_related: ClassVar[tuple[str, ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        return [*(self._confirm_path(action) for action in self.confirmed_actions), *super().get_urls()]

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Offer each action on the list to staff with its permission.

        From Django 6.1 on, `action_location` says which page asks. The page of a record has `page_actions` instead.
        """
        place = {} if action_location is None else {"action_location": action_location}
        usual = super().get_actions(request, **place)
        if place and action_location.value != _LIST:
            return usual
        offered = {} if IS_POPUP_VAR in request.GET else self._offered(request)
        in_bulk = {name: action for name, action in offered.items() if action.bulk}
        return {name: (_ask_for_reason(action), name, action.title) for name, action in in_bulk.items()} | usual

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["page_actions"] = self.page_actions(request, context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def page_actions(self, request: HttpRequest, row: Any) -> list[dict[str, Any]]:
        """Title and address of each action that this user may do to this row now."""
        return [
            {"title": action.title, "url": self.confirm_url(action, [row.pk])}
            for action in self._offered(request).values()
            if action.applies(row)
        ]

    def confirm_url(self, action: ConfirmedAction, ids: Sequence[Any]) -> str:
        """The address of the page that asks for a reason before this action runs on these rows."""
        chosen = urlencode({str(self.opts.model_name): ids}, doseq=True)
        return f"{reverse(f'admin:feexpay_{self.opts.model_name}_{action.name}')}?{chosen}"

    @log_context.entry_point(log_context.ADMIN)
    def confirm(self, request: HttpRequest, action: ConfirmedAction) -> HttpResponse:
        """Ask for the reason; posted with one, run the action on each row and report.

        Raises: PermissionDenied; Http404 unless every row of the address exists.
        """
        if not (self.has_view_permission(request) and request.user.has_perm(action.permission)):
            raise PermissionDenied
        rows = self._chosen_rows(request, MAX_ROWS if action.bulk else 1)
        back_url = self._back_url(rows)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        form.fields["reason"].label, form.fields["reason"].help_text = action.reason_label, action.reason_help
        if form.is_valid():
            self._run(request, action, rows, form.cleaned_data["reason"])
            return HttpResponseRedirect(back_url)
        columns = action.columns or self.confirm_columns
        headings = [label_for_field(name, self.model, self) for name in columns]
        context = {
            **page_context(self, request, action.title),
            "form": form,
            "explanation": action.explanation,
            "back_url": back_url,
            "headings": headings,
            "rows": [list(zip(headings, self._cells(row, columns), strict=True)) for row in rows],
        }
        return TemplateResponse(request, "admin/feexpay/confirm_action.html", context)

    def _confirm_path(self, action: ConfirmedAction) -> URLPattern:
        @require_http_methods(["GET", "POST"])
        def view(request: HttpRequest) -> HttpResponse:
            return self.confirm(request, action)

        name = f"feexpay_{self.opts.model_name}_{action.name}"
        return path(f"{action.name}/", self.asking_view(view), name=name)

    def _offered(self, request: HttpRequest) -> dict[str, ConfirmedAction]:
        return {action.name: action for action in self.confirmed_actions if request.user.has_perm(action.permission)}

    def _chosen_rows(self, request: HttpRequest, most: int) -> list[Any]:
        try:
            ids = {self.opts.pk.to_python(value) for value in request.GET.getlist(str(self.opts.model_name))}
        except ValidationError:
            raise Http404 from None
        queryset = self.get_queryset(request)
        if self.list_select_related:  # without a name, `select_related` would join every relation
            queryset = queryset.select_related(*self.list_select_related)
        rows = list(queryset.filter(pk__in=ids)) if 0 < len(ids) <= most else []
        if not rows or len(rows) < len(ids):
            raise Http404
        return rows

    def _cells(self, row: Any, columns: Sequence[str]) -> Iterator[Any]:
        for column in columns:
            field, _attribute, value = lookup_field(column, row, self)
            if isinstance(value, date):
                yield display.short_moment(value) if isinstance(value, datetime) else display.short_day(value)
            else:
                yield display_for_field(value, field, display.EMPTY) if field else value

    def _back_url(self, rows: Sequence[Any]) -> str:
        model = f"admin:feexpay_{self.opts.model_name}"
        return reverse(f"{model}_change", args=[rows[0].pk]) if len(rows) == 1 else reverse(f"{model}_changelist")

    def _run(self, request: HttpRequest, action: ConfirmedAction, rows: Sequence[Any], reason: str) -> None:
        stop_at = time.monotonic() + TIMEOUT_SECONDS
        actor, outcomes = str(request.user.pk), []
        for row in rows:
            if time.monotonic() >= stop_at:
                outcomes.append(
                    (row, Outcome(Result.SKIPPED, _("The time limit was reached before this row. Choose it again.")))
                )
                continue
            outcome = action.run(row, actor, reason)
            if action.recorded_as is not None:
                kept = {"target": row, "result": outcome.result, "reason": reason}
                staff_actions.record(action.recorded_as, actor=actor, source=Source.ADMIN, **kept)
            outcomes.append((row, outcome))
        counts = {result.value: sum(outcome.result is result for _row, outcome in outcomes) for result in Result}
        _record_skipped(action, outcomes, counts, actor, reason)
        self._report(request, action, outcomes, counts)

    def _report(
        self,
        request: HttpRequest,
        action: ConfirmedAction,
        outcomes: Sequence[tuple[Any, Outcome]],
        counts: Mapping[str, int],
    ) -> None:
        """Count the results in one message; name the rows of each explanation in a message of its own."""
        explained: dict[str, list[str]] = defaultdict(list)
        for row, outcome in outcomes:
            if outcome.explanation:
                explained[outcome.explanation].append(str(row))
        summary = _("%(action)s: %(done)d done, %(skipped)d skipped, %(failed)d failed.")
        all_done = counts[Result.DONE] == len(outcomes) and not explained
        self.message_user(
            request, summary % {"action": action.title, **counts}, messages.SUCCESS if all_done else messages.WARNING
        )
        for explanation, names in explained.items():
            words = _("%(records)s: %(explanation)s") % {"records": ", ".join(names), "explanation": explanation}
            self.message_user(request, words, messages.WARNING)


def _record_skipped(
    action: ConfirmedAction,
    outcomes: Sequence[tuple[Any, Outcome]],
    counts: Mapping[str, int],
    actor: str,
    reason: str,
) -> None:
    """Write each skipped row to the audit list, with the counts of the whole act.

    Changes: StaffAction.
    """
    if action.skipped_as is None:
        return
    for row, outcome in outcomes:
        if outcome.result is Result.SKIPPED:
            kept = {"target": row, "result": outcome.result, "reason": reason, "detail": counts}
            staff_actions.record(action.skipped_as, actor=actor, source=Source.ADMIN, **kept)


def _ask_for_reason(action: ConfirmedAction) -> Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    """The list action that leads to the page of a confirmed action."""

    def redirect(admin: ConfirmedActionsAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        ids = list(queryset.values_list("pk", flat=True)[: MAX_ROWS + 1])
        if len(ids) > MAX_ROWS:
            text = _("You chose too many rows. Choose at most %(most)d at once. Nothing was done.") % {"most": MAX_ROWS}
            admin.message_user(request, text, messages.ERROR)
            return None
        return HttpResponseRedirect(admin.confirm_url(action, ids))

    return redirect
