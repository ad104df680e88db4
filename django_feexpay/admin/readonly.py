"""What all ledgers of the back office share: nobody writes them here, and no page costs more as they grow."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

MOST_COUNTED = 10_000


class CappedPaginator(AnyPaginator):
    """Counts up to MOST_COUNTED rows and pages through those; the older ones are reached by filters and search.

    Counting all of five million rows takes the database a quarter of a second for each page looked at.
    """

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @cached_property
    def is_capped(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > MOST_COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages through querysets only
        return rows.order_by()[: MOST_COUNTED + 1].count()


class LedgerAdmin(AnyModelAdmin):
    """A table to read. No add, change or delete: not by a button, a URL or an action, not for a superuser either."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the whole table
    list_per_page = 50
    list_max_show_all = 200
    sortable_by: ClassVar[Any] = ()  # only what an index can sort
    change_list_template = "admin/feexpay/change_list.html"

    class Media:
        css = {"all": ("feexpay/admin.css",)}

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only who was given the view permission: the change permission of a ledger opens nothing by itself."""
        return self._may(request, "view")

    def _may(self, request: HttpRequest, verb: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}")
