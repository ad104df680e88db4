"""Base of all ledgers: read-only, and no slower as the tables grow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import DateField, DateTimeField, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.html import strip_tags
from django.utils.text import capfirst

from django_feexpay.admin import display
from django_feexpay.models import StaffAction

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

MAX_COUNTED = 10_000
#: Actions of staff on the history page of a record.
MAX_HISTORY = 100


class CappedPaginator(AnyPaginator):
    """Counts and shows at most MAX_COUNTED rows; filters and search reach the older ones.

    PostgreSQL takes a quarter of a second to count five million rows, on every page.
    """

    def page(self, number: int | str) -> Page[Any]:
        """A later page reads the keys of its rows first, so the rows that it skips are not joined to other tables."""
        number = self.validate_number(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages through querysets only
        first = (number - 1) * self.per_page
        if not first:
            return super().page(number)
        keys = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
        return Page(rows.filter(pk__in=keys), number, self)

    @cached_property
    def count(self) -> int:
        return min(self._counted, MAX_COUNTED)

    @cached_property
    def is_capped(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > MAX_COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages through querysets only
        return rows.order_by()[: MAX_COUNTED + 1].count()


class LedgerAdmin(AnyModelAdmin):
    """A table without add, change and delete: no button, URL or action, not for superusers either."""

    empty_value_display = display.EMPTY
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # every facet counts the whole table
    list_per_page = 50
    list_max_show_all = 200
    sortable_by: ClassVar[Any] = ()  # only columns with an index
    change_list_template = "admin/feexpay/change_list.html"
    object_history_template = "admin/feexpay/object_history.html"

    class Media:
        css = {"all": ("feexpay/admin.css", "feexpay/lists.css")}

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def asking_view(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """A view of the admin that may ask FeexPay: it runs outside any transaction, also with ATOMIC_REQUESTS.

        A request to FeexPay cannot be rolled back.
        """
        return transaction.non_atomic_requests(self.admin_site.admin_view(view))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show days and times in our words, and a related record without a link to staff who may not open its page."""
        return [
            (
                title,
                {
                    **options,
                    "fields": [self._shown(request, name, display.moment, display.day) for name in options["fields"]],
                },
            )
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._column(request, name) for name in super().get_list_display(request)]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list under the name of its records; Django's title asks to select one."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if context.get("original") is not None:
            context |= {
                "title": capfirst(str(self.opts.verbose_name)),
                "subtitle": self.record_title(context["original"]),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def record_title(self, row: Any) -> str:
        """What a record's page is titled by, below the kind of record."""
        return str(row)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """What staff did to this record, from the audit list."""
        target = f"{self.opts.model_name}:{object_id}"
        done = StaffAction.objects.filter(target=target).order_by("-id")[:MAX_HISTORY]
        return super().history_view(request, object_id, {**(extra_context or {}), "staff_actions": done})

    def _column(self, request: HttpRequest, name: Any) -> Any:
        """A column of the list. Times are short, so that no list is wider than a laptop."""
        return self._shown(request, name, display.short_moment, display.short_day)

    def _shown(
        self, request: HttpRequest, name: Any, moment: Callable[[datetime], str], day: Callable[[date], str]
    ) -> Any:
        """A column or a field, its days and times in the words of `display`."""
        try:
            field = self.opts.get_field(name)
        except (FieldDoesNotExist, TypeError):  # a method of this admin
            return self._without_dead_link(request, name)
        if isinstance(field, DateField):
            return _time_of(field, moment if isinstance(field, DateTimeField) else day)
        return self._without_dead_link(request, name)

    def _without_dead_link(self, request: HttpRequest, name: Any) -> Any:
        if name == "payment_shown" and not request.user.has_perm("feexpay.view_payment"):
            return _payment_without_link(getattr(self, name))
        try:
            field = self.opts.get_field(name)
        except (FieldDoesNotExist, TypeError):  # a method of this admin
            return name
        related = field.related_model
        if not isinstance(related, type):
            return name
        page = self.admin_site._registry.get(related)
        if page is None or page.has_view_permission(request):
            return name
        return _plain_text_of(field)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only the view permission opens a ledger; Django would accept the change permission too."""
        return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")


def _payment_without_link(column: Any) -> Any:
    """A column that links to a payment, as text."""

    @admin.display(description=column.short_description)
    def shown(row: Any) -> str:
        return strip_tags(str(column(row)))

    return shown


def _time_of(field: DateField[Any, Any], show: Callable[[Any], str]) -> Any:
    """A day or a time in the words of `show`; a dash for none."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def shown(row: Any) -> str:
        at = getattr(row, field.name)
        return display.EMPTY if at is None else show(at)

    shown.__name__ = field.name  # the class of its cells
    return shown


def _plain_text_of(field: Any) -> Any:
    """A read-only field that shows a related record as text."""

    @admin.display(description=field.verbose_name)
    def shown(row: Any) -> str:
        related = getattr(row, field.name)
        return "-" if related is None else str(related)

    return shown
