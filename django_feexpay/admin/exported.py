"""The audit row of an export: who took which rows out of the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest

from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source

#: Parameters of a list that choose no rows.
_NO_FILTER = frozenset({SEARCH_VAR, PAGE_VAR, "o", "e", "all", "_changelist_filters"})


def record_export(request: HttpRequest, rows: QuerySet[Any], file_format: str) -> None:
    """Write who exported how many rows of which list, with which filter.

    A search term may be a person's name or number: the row keeps only that there was one.
    """
    chosen = {name: value for name, value in request.GET.items() if name not in _NO_FILTER}
    staff_actions.record(
        staff_actions.Action.EXPORT,
        actor=str(request.user.pk),
        source=Source.ADMIN,
        detail={
            "list": str(rows.model._meta.model_name),
            "format": file_format,
            "count": rows.order_by().count(),
            "filter": chosen,
            "searched": bool(request.GET.get(SEARCH_VAR)),
        },
    )
