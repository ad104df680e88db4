"""The audit list: what staff did, when, to which record and why, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display, search_terms
from django_feexpay.admin.display import Tone
from django_feexpay.admin.list_exports import Column, ExportedListAdmin
from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.admin.search_box import SearchedListAdmin
from django_feexpay.models import PaymentEvent, StaffAction

#: Members of staff that the filter offers; search finds the others.
MAX_PEOPLE = 50
_TONES: Mapping[str, Tone] = {
    StaffAction.Result.DONE: Tone.GOOD,
    StaffAction.Result.SKIPPED: Tone.DOUBT,
    StaffAction.Result.FAILED: Tone.BAD,
}
#: What an action did, where one action has several steps: by `detail["step"]`.
_STEPS = {
    "closed_for_maintenance": gettext_lazy("closed a provider for maintenance"),
    "opened_again": gettext_lazy("opened a provider again"),
    "proposed": gettext_lazy("proposed to close a review"),
    "approved": gettext_lazy("approved the closing of a review"),
    "asked_for_balance": gettext_lazy("asked FeexPay for the balance"),
    "file_asked_for": gettext_lazy("asked for an exported file"),
    "file_fetched": gettext_lazy("fetched an exported file"),
}


def action_text(row: StaffAction) -> str:
    """What was done, in words."""
    return str(_STEPS.get(str(row.detail.get("step", "")), row.get_action_display()))


def _action_words(action: str, detail: dict[str, Any]) -> str:
    return action_text(StaffAction(action=action, detail=detail))


def result_badge(row: StaffAction) -> SafeString:
    return display.pill(row.get_result_display(), _TONES[row.result])


COLUMNS = (
    Column(gettext_lazy("at"), ("created_at",)),
    Column(gettext_lazy("name"), ("actor_name",)),
    Column(gettext_lazy("action"), ("action", "detail"), _action_words),
    Column(gettext_lazy("result"), ("result",), lambda result: str(StaffAction.Result(result).label)),
    Column(gettext_lazy("record"), ("target",)),
    Column(gettext_lazy("reason"), ("reason",)),
    Column(gettext_lazy("source"), ("source",), lambda source: str(PaymentEvent.Source(source).label)),
)


class PersonFilter(admin.SimpleListFilter):
    """Filter by member of staff. The choices come from the users: reading them from the rows would scan the table."""

    title = gettext_lazy("person")
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        users = get_user_model()
        people = users._default_manager.filter(is_staff=True).order_by(users.USERNAME_FIELD)[:MAX_PEOPLE]
        return [(str(user.pk), user.get_username()) for user in people]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StaffAction]) -> QuerySet[StaffAction] | None:
        return queryset.filter(actor=self.value()) if self.value() else None


@admin.register(StaffAction)
class StaffActionAdmin(SearchedListAdmin, ExportedListAdmin):
    """What staff did, newest first."""

    list_display = ("created_at", "actor_name", "action_shown", "result_shown", "record_shown", "reason")
    list_filter = (PersonFilter, "action", "result", ("created_at", PeriodFilter))
    list_select_related = ("payment",)
    ordering = ("-id",)
    export_columns = COLUMNS
    export_permission = "feexpay.export_staffaction"
    search_fields = ("actor_name__exact",)  # shows the box; `named` does the search
    search_help_text = gettext_lazy(
        "In any letter case: the user name of a member of staff, the id of a payment or its first 8 characters, the "
        "beginning of FeexPay's reference or of your own. Write # in front of a reference that is all digits."
    )
    fieldsets = (
        (None, {"fields": ("created_at", "actor_name", "action_shown", "result_shown", "record_shown", "reason")}),
        (gettext_lazy("Details"), {"fields": ("payment", "source", "target", "actor", "detail_shown")}),
    )

    def named(self, request: HttpRequest, queryset: QuerySet[StaffAction], term: str) -> QuerySet[StaffAction]:
        return queryset.filter(_named(term))

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._for_reader(name, request) for name in super().get_list_display(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": [self._for_reader(name, request) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _for_reader(self, name: Any, request: HttpRequest) -> Any:
        return _record_column(request) if name == "record_shown" else name

    # --- columns -------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("action"))
    def action_shown(self, row: StaffAction) -> str:
        return action_text(row)

    @admin.display(description=gettext_lazy("result"))
    def result_shown(self, row: StaffAction) -> SafeString:
        return result_badge(row)

    @admin.display(description=gettext_lazy("record"))
    def record_shown(self, row: StaffAction) -> SafeString | str:
        """The record without a link. Pages show `_record_column` instead, which knows who reads."""
        return _record_text(row)

    @admin.display(description=gettext_lazy("details"))
    def detail_shown(self, row: StaffAction) -> SafeString | str:
        return display.json_block(row.detail)


def _named(term: str) -> Q:
    """The rows of a person, by their name then or now, or of payments."""
    users = get_user_model()
    people = users._default_manager.filter(**{f"{users.USERNAME_FIELD}__iexact": term})
    named = Q(actor_name=term) | Q(actor__in=[str(pk) for pk in people.values_list("pk", flat=True)])
    return named | Q(payment_id__in=search_terms.payment_ids(term, of_users=False))


def _record_column(request: HttpRequest) -> Callable[[StaffAction], SafeString | str]:
    """The column of the record: its links lead only where this user may go."""

    @admin.display(description=gettext_lazy("record"))
    def record_shown(row: StaffAction) -> SafeString | str:
        return _record_link(row, request)

    return record_shown


def _record_link(row: StaffAction, request: HttpRequest) -> SafeString | str:
    """The record that was acted on, with a link to its page if this user may view it."""
    model, _colon, pk = row.target.partition(":")
    if not pk or not request.user.has_perm(f"feexpay.view_{model}"):
        return _record_text(row)
    try:
        url = reverse(f"admin:feexpay_{model}_change", args=[pk])
    except NoReverseMatch:  # a model of another release
        return _record_text(row)
    return format_html('<a href="{}">{}</a>', url, _record_text(row))


def _record_text(row: StaffAction) -> str:
    """The record that was acted on; the list's name for an export."""
    model, _colon, pk = row.target.partition(":")
    if not pk:
        return _list_name(str(row.detail.get("list", "")))
    try:
        return f"{apps.get_model('feexpay', model)._meta.verbose_name} {pk[:8]}"
    except LookupError:  # a model of another release
        return row.target


def _list_name(model: str) -> str:
    try:
        return str(apps.get_model("feexpay", model)._meta.verbose_name_plural)
    except LookupError:
        return model or display.EMPTY
