"""The search box of the lists. It sends by POST, so that a phone number typed into it is in no address and no log.

A term that may be a phone number is not searched for: it goes to *Find by phone number*, which compares a keyed hash.
Any other term goes into the address, so that a list can be kept and shared.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from django_feexpay.admin import saved_filters, search, search_terms
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.private import PrivateText

#: A longer term names nothing.
_LONGEST_TERM = 200


class SearchedListAdmin(LedgerAdmin):
    """A list with a search box that keeps phone numbers out of addresses, and with links of often used filters."""

    filter_links: ClassVar[tuple[saved_filters.SavedFilter, ...]] = ()
    search_help_text: ClassVar[Any] = gettext_lazy(
        "In any letter case: an id or its first 8 characters, the beginning of FeexPay's reference or of your own, a "
        "user name, a mail address. Or a whole phone number: it appears in no address and no log. Write # in front of "
        "a reference that is all digits."
    )

    @method_decorator([sensitive_post_parameters(SEARCH_VAR), csrf_protect])
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "POST" and SEARCH_VAR in request.POST:
            return _sent(request)
        if search_terms.is_phone_number(request.GET.get(SEARCH_VAR, "")):
            return _number_in_address(request)
        links = saved_filters.links(self.filter_links, request) if self.has_view_permission(request) else []
        return super().changelist_view(request, {**(extra_context or {}), "saved_filters": links})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_terms.cleaned(search_term)
        return (self.named(request, queryset, term) if term else queryset), False

    def named(self, request: HttpRequest, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        """The rows that a search term names."""
        raise NotImplementedError


@sensitive_variables()
def _sent(request: HttpRequest) -> HttpResponse:
    """Lead to the list of what was searched for; a phone number is looked up by its hash."""
    term = PrivateText(request.POST[SEARCH_VAR].strip())
    request.POST = QueryDict()  # error reports quote POST
    if search_terms.is_phone_number(term):
        return search.find_from_box(request, term)
    return HttpResponseRedirect(_address(request, term[:_LONGEST_TERM]))


def _number_in_address(request: HttpRequest) -> HttpResponse:
    """Drop a phone number from the address, and say where to type it."""
    text = _(
        "A phone number stood in the address, and was not searched for. Type it into the search box: from there it "
        "gets into no address and no log."
    )
    messages.warning(request, text)
    return HttpResponseRedirect(_address(request, ""))


def _address(request: HttpRequest, term: str) -> str:
    """The address of this list with its filters, for another search term."""
    query = request.GET.copy()
    query.pop(PAGE_VAR, None)
    query.pop(SEARCH_VAR, None)
    if term:
        query[SEARCH_VAR] = term
    return f"{request.path}?{query.urlencode()}" if query else request.path
