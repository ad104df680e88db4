"""The files that a user asked for: how far each is, and the file itself once it is ready."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from django_feexpay import conf, report_files
from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.admin.page_context import page_context
from django_feexpay.admin.readonly import AnyModelAdmin
from django_feexpay.background import tasks, worker
from django_feexpay.models import Heartbeat, ReportFile
from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source
from django_feexpay.table_files import FORMATS, ExportError, Table, attachment

logger = logging.getLogger("django_feexpay.admin")

NAME = "files"
#: Each of these lets a user ask for files.
PERMISSIONS = ("feexpay.export_payment", "feexpay.export_staffaction", "feexpay.view_statement")

_REFRESH_SECONDS = 3
_TONES: Mapping[str, Tone] = {
    ReportFile.State.WAITING: Tone.QUIET,
    ReportFile.State.WORKING: Tone.WAITING,
    ReportFile.State.READY: Tone.GOOD,
    ReportFile.State.FAILED: Tone.BAD,
}


def address() -> str:
    return reverse(f"admin:feexpay_payment_{NAME}")


def may(request: HttpRequest) -> bool:
    return any(request.user.has_perm(permission) for permission in PERMISSIONS)


def ask(
    request: HttpRequest, *, list_name: str, query: str, table: Table, file_format: str, filter: Mapping[str, Any]
) -> HttpResponseBase:
    """Ask for a large table as a file, and show the user's files.

    The caller has checked the permission. Changes: ReportFile, StaffAction.
    """
    try:
        with transaction.atomic():
            row = report_files.request(
                user=request.user,
                list_name=list_name,
                query=query,
                file_format=file_format,
                file_name=table.name,
                count=table.count,
            )
            _record(request, row, "file_asked_for", {"filter": dict(filter)})
            transaction.on_commit(tasks.wake)
    except ExportError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(request.get_full_path())
    messages.info(request, _("The file is being made. You may leave this page: the file stays here."))
    return HttpResponseRedirect(address())


def show(model_admin: AnyModelAdmin, request: HttpRequest) -> HttpResponseBase:
    """The user's files; by POST one of them to save, or to delete.

    Changes: StaffAction, for a file that is fetched; ReportFile, for one that is deleted. Raises: PermissionDenied.
    """
    if not may(request):
        raise PermissionDenied
    if request.method == "POST":
        row = _chosen(request)
        if "delete" in request.POST:
            report_files.cancel(row)
            messages.success(request, _("%s is deleted.") % row.file_name)
            return HttpResponseRedirect(address())
        return _send(request, row)
    rows = list(report_files.unexpired(request.user))
    is_under_way = any(not row.is_finished for row in rows)
    context = {
        **page_context(model_admin, request, _("Files")),
        "files": [_shown(row, request) for row in rows],
        "refresh_seconds": _REFRESH_SECONDS if is_under_way else None,
        "no_worker": is_under_way and not _is_worker_alive(),
    }
    return TemplateResponse(request, "admin/feexpay/payment/files.html", context)


def _chosen(request: HttpRequest) -> ReportFile:
    """The file of the form, which must be this user's."""
    try:
        pk = UUID(request.POST.get("delete") or request.POST.get("fetch") or "")
    except ValueError:
        raise Http404 from None
    row = report_files.unexpired(request.user).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _send(request: HttpRequest, row: ReportFile) -> HttpResponseBase:
    if not report_files.may_fetch(row, request.user):
        raise PermissionDenied
    if row.state != ReportFile.State.READY:
        raise Http404
    try:
        chunks = report_files.chunks(row)
    except OSError as error:
        logger.error("file %s is not in the storage of this server: %s", row.pk, type(error).__name__)
        text = _("The file is not in the storage of this server. Web servers and workers must share EXPORT_STORAGE.")
        messages.error(request, text)
        return HttpResponseRedirect(address())
    _record(request, row, "file_fetched", {})
    return attachment(chunks, FORMATS[row.file_format].media_type, row.file_name)


def _record(request: HttpRequest, row: ReportFile, step: str, more: Mapping[str, Any]) -> None:
    staff_actions.record(
        staff_actions.Action.EXPORT,
        actor=str(request.user.pk),
        source=Source.ADMIN,
        detail={
            "step": step,
            "list": row.list_name,
            "format": row.file_format,
            "count": row.rows_total,
            "file": str(row.pk),
            **more,
        },
    )


def _is_worker_alive() -> bool:
    beats = Heartbeat.objects.filter(name__in=(worker.WORKER, worker.CLUSTER)).values_list("beat_at", flat=True)
    return any(worker.is_recent(beat_at, conf.now(), worker.SILENT) for beat_at in beats)


def _shown(row: ReportFile, request: HttpRequest) -> dict[str, Any]:
    number = partial(number_format, force_grouping=True)
    is_ready = row.state == ReportFile.State.READY
    return {
        "row": row,
        "state": display.pill(row.get_state_display(), _TONES[row.state]),
        "done": number(row.rows_done),
        "total": number(row.rows_total),
        "shows_progress": not row.is_finished,
        "may_fetch": is_ready and report_files.may_fetch(row, request.user),
        "why": row.get_reason_display() if row.reason else "",
    }
