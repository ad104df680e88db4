"""Lists of the back office as files: the chosen rows, or every row of the filtered list.

Rows are read in slices, each starting after the last row of the slice before, so memory does not grow with the list and
no statement is long. The words of a file are in the language of the user who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import SuspiciousOperation
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from django_feexpay import report_files
from django_feexpay.admin import report_files_page
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source
from django_feexpay.report_files import Cursor, Rows, Slice
from django_feexpay.table_files import Cell, ExportError, Table, download

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_SLICE = 1000

#: A filter is kept with the export, but no longer than this: it came from an address.
_FILTER_LENGTH = 200


def as_it_is(value: Any) -> Cell:
    """An id as text; every other value is a cell already."""
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: its heading, the fields it reads, and the cell made of their values."""

    head: str | StrPromise
    reads: tuple[str, ...]
    cell: Callable[..., Cell] = as_it_is


class ExportedListAdmin(LedgerAdmin):
    """A list that staff with the permission export as CSV or XLSX. Numbers are masked, no cell can be a formula."""

    actions = ("export_csv", "export_xlsx")
    export_columns: ClassVar[tuple[Column, ...]]
    export_permission = "feexpay.export_payment"
    #: The fields that order the file, the newest row first; together they are unique, and an index has them.
    export_order: ClassVar[tuple[str, ...]] = ("pk",)

    def __init__(self, model: type[Any], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        source = report_files.Source(may=self._may_export, open=self._open)
        report_files.register(str(self.opts.model_name), source)

    def rows_to_export(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with what the columns read beside the fields of the table."""
        return queryset

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.export_permission)

    @admin.action(description=_("Export as CSV"), permissions=["export"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        return self._export(request, queryset, "csv")

    @admin.action(description=_("Export as XLSX"), permissions=["export"])
    def export_xlsx(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        return self._export(request, queryset, "xlsx")

    def _export(self, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponseBase | None:
        """Send the chosen rows, or with "select all" every row of the filtered list.

        Changes: StaffAction.
        """
        model_name = str(self.opts.model_name)
        table = Table(
            _FILE_NAMES.get(model_name, f"{model_name}s"),
            self._heads(),
            _rows(self.rows_to_export(queryset), self.export_columns, self.export_order),
            queryset.order_by().count(),
        )
        is_whole_list = request.POST.get("select_across") == "1"
        if is_whole_list and report_files.is_large(name, table.count):
            return report_files_page.ask(
                request,
                list_name=model_name,
                query=request.GET.urlencode(),
                table=table,
                file_format=name,
                filter=_filter(request),
            )
        try:
            response = download(table, name)
        except ExportError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        staff_actions.record(
            staff_actions.Action.EXPORT,
            actor=str(request.user.pk),
            source=Source.ADMIN,
            detail={"list": model_name, "format": name, "count": table.count, "filter": _filter(request)},
        )
        return response

    def _heads(self) -> list[str]:
        heads = [str(column.head) for column in self.export_columns]
        return [head[:1].upper() + head[1:] for head in heads]

    def _may_export(self, user: Any) -> bool:
        view = f"{self.opts.app_label}.view_{self.opts.model_name}"
        return bool(user.is_active and user.is_staff and user.has_perms([view, self.export_permission]))

    def _open(self, query: str, user: Any) -> Rows:
        """The filtered list of a query string, as this user sees it. Raises: ExportError."""
        request = HttpRequest()
        request.method, request.user, request.GET = "GET", user, QueryDict(query)
        try:
            queryset = self.get_changelist_instance(request).get_queryset(request)
        except (IncorrectLookupParameters, SuspiciousOperation) as error:
            raise ExportError(type(error).__name__) from error
        listed, columns, order = self.rows_to_export(queryset), self.export_columns, self.export_order
        return Rows(self._heads(), lambda after: _rows_after(listed, columns, order, after))


_FILE_NAMES = {"discrepancy": "differences", "staffaction": "staff-actions"}
#: Parameters of a list that choose no rows.
_NO_FILTER = frozenset({SEARCH_VAR, PAGE_VAR, "o", "e", "all", "_changelist_filters"})


def _filter(request: HttpRequest) -> dict[str, Any]:
    """The filter of the list, and whether all its rows or only chosen ones were taken.

    A search term may be a person's name or number, so the audit list keeps only that there was one.
    """
    chosen = {name: value[:_FILTER_LENGTH] for name, value in request.GET.items() if name not in _NO_FILTER}
    if request.GET.get(SEARCH_VAR):
        chosen["searched"] = "yes"
    return chosen | {"rows": "all" if request.POST.get("select_across") == "1" else "chosen"}


def _rows(queryset: QuerySet[Any], columns: Sequence[Column], order: Sequence[str]) -> Iterator[list[Cell]]:
    for cells, _cursor in _rows_after(queryset, columns, order, ()):
        yield from cells


def _rows_after(
    queryset: QuerySet[Any], columns: Sequence[Column], order: Sequence[str], after: Cursor
) -> Iterator[Slice]:
    """The rows behind a position, in slices, each with the position of its last row."""
    paths = list(dict.fromkeys((*order, *(path for column in columns for path in column.reads))))
    language = translation.get_language()
    last = [_field(queryset.model, path).to_python(text) for path, text in zip(order, after, strict=False)]
    for part in _slices(queryset, paths, len(order), last):
        with translation.override(language):  # the server may read the rows in another thread
            cells = [_cells(dict(zip(paths, read, strict=True)), columns) for read in part]
        yield cells, [_as_text(value) for value in part[-1][: len(order)]]


def _cells(values: dict[str, Any], columns: Sequence[Column]) -> list[Cell]:
    return [column.cell(*(values[path] for path in column.reads)) for column in columns]


def _slices(
    queryset: QuerySet[Any], paths: Sequence[str], order_count: int, last: Sequence[Any]
) -> Iterator[list[tuple[Any, ...]]]:
    order = paths[:order_count]
    ordered = queryset.order_by(*(f"-{path}" for path in order))
    while True:
        part = list((ordered.filter(_behind(order, last)) if last else ordered).values_list(*paths)[:_SLICE])
        if part:
            yield part
        if len(part) < _SLICE:
            return
        last = part[-1][:order_count]


def _field(model: Any, path: str) -> Any:
    """The field at the end of a path such as `payment__created_at`."""
    *relations, name = path.split("__")
    for relation in relations:
        model = model._meta.get_field(relation).related_model
    return model._meta.pk if name == "pk" else model._meta.get_field(name)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _behind(order: Sequence[str], last: Sequence[Any]) -> Q:
    """The rows after this one in descending order."""
    behind = Q()
    for index, path in enumerate(order):
        same = dict(zip(order[:index], last, strict=False))
        behind |= Q(**same, **{f"{path}__lt": last[index]})
    return behind & Q(**{f"{order[0]}__lte": last[0]})  # the second condition lets an index start there
