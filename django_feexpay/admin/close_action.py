"""Rows that staff close with a note on what was done: the page that asks for it, and the closing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin.readonly import LedgerAdmin

if TYPE_CHECKING:
    Rows = QuerySet[Any]
else:
    Rows = QuerySet

MOST_ROWS = 50


class NoteForm(forms.Form):
    """What was done."""

    note = forms.CharField(
        label=gettext_lazy("What was done"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=gettext_lazy("For example the reference of the refund. Write no name and no phone number here."),
    )


class ClosableAdmin(LedgerAdmin):
    """A ledger that is read-only but for closing its open rows, which needs the permission to change them."""

    actions = ("close",)
    change_form_template = "admin/feexpay/closable.html"
    #: The page that asks for the note.
    confirm_template: ClassVar[str]

    def is_open(self, row: Any) -> bool:
        raise NotImplementedError

    def close_row(self, row: Any, note: str) -> bool:
        """Close one; True if this call did."""
        raise NotImplementedError

    def words_for(self, closed: int, skipped: int) -> str:
        """What was done, for the message above the list."""
        raise NotImplementedError

    def words_for_too_many(self, most: int) -> str:
        raise NotImplementedError

    def has_close_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "change")

    def get_urls(self) -> list[URLPattern]:
        close = self.admin_site.admin_view(self.close_view)
        return [path("close/", close, name=f"feexpay_{self.opts.model_name}_close"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None and self.is_open(row) and self.has_close_permission(request):
            context["close_url"] = self.close_address([row.pk])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description=gettext_lazy("Close, with a note"), permissions=["close"])
    def close(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[: MOST_ROWS + 1])
        if len(chosen) > MOST_ROWS:
            self.message_user(request, self.words_for_too_many(MOST_ROWS), messages.ERROR)
            return None
        return HttpResponseRedirect(self.close_address(chosen))

    def close_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the note; posted with one, close what is still open. Raises: PermissionDenied, Http404."""
        if not (self.has_view_permission(request) and self.has_close_permission(request)):
            raise PermissionDenied
        rows = self._chosen(request)
        form = NoteForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._close(request, rows, form.cleaned_data["note"])
            return HttpResponseRedirect(reverse(f"admin:feexpay_{self.opts.model_name}_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Close, with a note"),
            "media": self.media,
            "form": form,
            "rows": rows,
        }
        return TemplateResponse(request, self.confirm_template, context)

    def close_address(self, ids: list[int]) -> str:
        """Where closing these rows asks for its note."""
        chosen = urlencode({str(self.opts.model_name): ids}, doseq=True)
        return f"{reverse(f'admin:feexpay_{self.opts.model_name}_close')}?{chosen}"

    def _close(self, request: HttpRequest, rows: list[Model], note: str) -> None:
        closed = [row for row in rows if self.close_row(row, note)]
        for row in closed:
            self.log_change(request, row, f"closed: {note}")
        self.message_user(request, self.words_for(len(closed), len(rows) - len(closed)))

    def _chosen(self, request: HttpRequest) -> list[Model]:
        try:
            ids = {int(value) for value in request.GET.getlist(str(self.opts.model_name))}
        except ValueError:
            raise Http404 from None
        rows = list(self.get_queryset(request).filter(pk__in=ids).select_related("payment", "attempt"))
        if not 0 < len(rows) == len(ids) <= MOST_ROWS:
            raise Http404
        return rows
