"""Base of all ledgers: read-only, and no slower as the tables grow."""

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

MAX_COUNTED = 10_000


class CappedPaginator(AnyPaginator):
    """Counts and shows at most MAX_COUNTED rows; filters and search reach the older ones.

    PostgreSQL takes a quarter of a second to count five million rows, on every page.
    """

    @cached_property
    def count(self) -> int:
        return min(self._counted, MAX_COUNTED)

    @cached_property
    def is_capped(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > MAX_COUNTED

    @cached_property
    def whole_count(self) -> int:
        """Every row, also those that no page shows. A statement of its own where there are more than were counted."""
        if not self.is_capped:
            return self._counted
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # as below
        return rows.order_by().count()

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages through querysets only
        return rows.order_by()[: MAX_COUNTED + 1].count()


class LedgerAdmin(AnyModelAdmin):
    """A table without add, change and delete: no button, URL or action, not for superusers either."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # every facet counts the whole table
    list_per_page = 50
    list_max_show_all = 200
    sortable_by: ClassVar[Any] = ()  # only columns with an index
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
        """Only the view permission opens a ledger; Django would accept the change permission too."""
        return self._may(request, "view")

    def _may(self, request: HttpRequest, verb: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}")
