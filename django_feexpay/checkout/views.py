"""The views of the checkout: each opens an address, calls one function of `payments` and shows the result.

A GET starts nothing. A POST that starts, retries or sends a code answers with a redirect to the page of the payment, so
that a reload repeats nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from django.utils import translation
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from django_feexpay import log_context
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.checkout import limits, own_number
from django_feexpay.checkout.addresses import NotValidError, host_of, own_address, page_path, way_back
from django_feexpay.checkout.forms import CodeForm, RefusableForm, RetryForm, StartForm
from django_feexpay.checkout.opened import Opened, open_address
from django_feexpay.checkout.screens import Screen, state_of
from django_feexpay.checkout.ways import Way, Ways
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import Detail
from django_feexpay.live_status import stream
from django_feexpay.payments import initiate, otp
from django_feexpay.payments.checkouts import CheckoutIntent
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile_if_due
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest
from django_feexpay.problems import PROBLEMS

#: How long a page waits for FeexPay if a poll is due.
_READ_TIMEOUT_SECONDS = 2.0
#: The last way to pay of this browser.
_WAY_COOKIE = "feexpay_way"
_WAY_REMEMBERED = timedelta(days=365)
_REGION = re.compile(r"[a-z]{2,3}-([a-z]{2})\b", re.IGNORECASE)
#: The state of an address without a payment.
_NOTHING = {"tag": "", "status": None, "next_poll_seconds": None}
#: Problems of a request that leave the form as it is.
_FORM_STATUS = 422

TypedForm = TypeVar("TypedForm", bound=RefusableForm)


class CheckoutView(View):
    """Base of the views: opens the address, speaks the payer's language, and keeps the page out of every cache."""

    http_method_names = ["get", "head", "post"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Run outside the host's ATOMIC_REQUESTS: a rollback cannot undo what was sent to FeexPay."""
        view = sensitive_post_parameters("phone", "code")(super().as_view(**initkwargs))
        # `sameorigin`: a page of the host may show the checkout in a frame.
        return transaction.non_atomic_requests(xframe_options_sameorigin(view))

    @method_decorator(csrf_protect)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.answer(request, kwargs["address"])

    @log_context.entry_point(log_context.CHECKOUT)
    def answer(self, request: HttpRequest, address: str) -> HttpResponseBase:
        """Open the address and call the method of the request; show why if that is refused."""
        wanted = request.GET.get("language", "")
        chosen = wanted if wanted in dict(settings.LANGUAGES) else ""
        with translation.override(chosen or translation.get_language_from_request(request)):
            try:
                response = super().dispatch(request, open_address(address))
            except NotValidError:
                response = self.ended(request)
            except NotAllowedError as refusal:
                response = self.refused(request, refusal)
        if chosen:
            response.set_cookie(settings.LANGUAGE_COOKIE_NAME, chosen, samesite="Lax")
        add_never_cache_headers(response)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        # The address is the key to the payment. With `no-referrer`, browsers send `Origin: null`, which CSRF refuses.
        response["Referrer-Policy"] = "same-origin"
        response["X-Robots-Tag"] = "noindex, nofollow"
        return response

    def get(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        """Lead to the page, for the views that only take a POST: a browser may reload their address."""
        return HttpResponseRedirect(page_path(opened.address))

    def page(self, request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        shared = {"shop_name": feexpay.shop_name, "languages": _languages(), "path": request.path}
        return render(request, f"feexpay/checkout/{name}.html", {**shared, **context}, status=status)

    def screen(
        self, request: HttpRequest, opened: Opened, form: RefusableForm | None = None, *, status: int = 200
    ) -> HttpResponse:
        """The page of a payment."""
        screen = Screen(opened, request)
        context = {
            **_addresses(request, opened),
            "intent": opened.intent,
            "screen": screen,
            "form": form,
        }
        return self.page(request, screen.name, context, status=status)

    def ended(self, request: HttpRequest) -> HttpResponse:
        """An address that does not work."""
        return self.page(request, "ended", {}, status=404)

    def refused(self, request: HttpRequest, refusal: NotAllowedError) -> HttpResponse:
        """A refusal that belongs to no form."""
        response = self.page(request, "refused", {"message": refusal.message}, status=PROBLEMS[refusal.code][0])
        if refusal.retry_after_seconds:
            response["Retry-After"] = str(refusal.retry_after_seconds)
        return response


class PageView(CheckoutView):
    """GET: the form, or the payment that the address has led to. POST: start the payment."""

    def get(self, request: HttpRequest, opened: Opened) -> HttpResponse:
        limits.count_read(opened)
        if opened.payment is None or _wants_another(request, opened):
            return self.choose(request, opened, StartForm(initial={"replaces": _replaceable(opened)}))
        path = page_path(opened.address)
        if request.path != path:  # the long address, after the start
            return HttpResponseRedirect(path)
        return self.screen(request, _reconciled(opened))

    def post(self, request: HttpRequest, opened: Opened) -> HttpResponse:
        form = _typed(request, StartForm)
        is_valid = form.is_valid()
        if opened.payment is not None and not (opened.may_start_another and is_valid and form.replaced):
            return HttpResponseRedirect(page_path(opened.address))  # the second tab, or a form sent again
        if not is_valid:
            return self.choose(request, opened, form, status=_FORM_STATUS)
        try:
            limits.count_write(opened, request, "initiate")
            return self.start(request, opened, form)
        except NotAllowedError as refusal:
            if refusal.code == "duplicate_payment":
                return HttpResponseRedirect(page_path(open_address(opened.address).address))
            form.refuse(refusal)
            return self.choose(request, opened, form, status=_status_of(refusal))

    def start(self, request: HttpRequest, opened: Opened, form: StartForm) -> HttpResponse:
        """Start the payment, unless something is missing or in doubt; then show the form with a suggestion."""
        ways = Ways(opened)
        way, suggested = form.chosen(ways), form.suggested(ways, _country(request, ways))
        if way is None:
            form.add_error("provider", _("Choose how you want to pay."))
            return self.choose(request, opened, form, ways, suggested, status=_FORM_STATUS)
        if form.doubts(way, suggested):
            return self.choose(request, opened, form, ways, suggested, status=_FORM_STATUS)
        wanted = _payment_request(request, opened, form, way)
        initiate.start(wanted, source=Source.API, checkout=_stored(opened, form))
        page = page_path(opened.intent.short_address)
        response = HttpResponseRedirect(page)
        own_number.remember(response, request, page, form.cleaned_data["phone"], way.phone)
        response.set_cookie(_WAY_COOKIE, way.code, max_age=_WAY_REMEMBERED, httponly=True, samesite="Lax")
        return response

    def choose(
        self,
        request: HttpRequest,
        opened: Opened,
        form: StartForm,
        ways: Ways | None = None,
        suggested: Way | None = None,
        *,
        status: int = 200,
    ) -> HttpResponse:
        """The form. `suggested`: the way that the typed number looks like."""
        ways = ways or Ways(opened)
        chosen = form.chosen(ways) if form.is_bound and hasattr(form, "cleaned_data") else None
        selected = chosen or suggested
        country = (selected.spec.country if selected else None) or _country(request, ways)
        offered = ways.of_country(country)
        here = next((each for each in ways.countries if each.code == country), None)
        context = {
            **_addresses(request, opened),
            "intent": opened.intent,
            "form": form,
            "countries": ways.countries,
            "country": country,
            "country_name": here.name if here else "",
            "country_known": country in _countries_wanted(request) or form.is_bound,
            "calling_code": here.calling_code if here else "",
            "ways": offered,
            "closed": ways.closed_in(country),
            "selected": selected.code if selected else _usual(request, offered),
            "chosen": chosen,
            "doubt": suggested if chosen and suggested and form.doubts(chosen, suggested) else None,
            "is_another": opened.is_failed,
            "is_unsure": opened.is_failed and Screen(opened, request).is_expired,
            "cancel_address": way_back(opened.intent.cancel_url, opened.payment, request),
        }
        return self.page(request, "choose", context, status=status)


class StatusView(CheckoutView):
    """GET: whether the page of the payment would show something else, for the script."""

    def get(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        limits.count_read(opened)
        if opened.payment is None:
            return JsonResponse(_NOTHING)
        return JsonResponse(state_of(_reconciled(opened).shown))

    def ended(self, request: HttpRequest) -> HttpResponse:
        """Tell the script not to read again."""
        return JsonResponse(_NOTHING, status=404)

    def refused(self, request: HttpRequest, refusal: NotAllowedError) -> HttpResponse:
        """Tell the script to read again later; the page stays as it is."""
        return JsonResponse({"next_poll_seconds": refusal.retry_after_seconds or 10}, status=PROBLEMS[refusal.code][0])


class EventsView(StatusView):
    """GET: the same as Server-Sent Events, where the server runs under ASGI."""

    def get(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        limits.count_read(opened)
        return self.ended(request) if opened.payment is None else stream(request, opened.payment, state_of)


class CodeView(CheckoutView):
    """POST: send the code that the payer received after the start."""

    def post(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        if opened.payment is None:
            return self.get(request, opened)
        form = _typed(request, CodeForm)
        form.is_valid()
        try:
            limits.count_write(opened, request, "otp")
            otp.submit(opened.payment.pk, form.cleaned_data.get("code", ""), source=Source.API)
        except NotAllowedError as refusal:
            current = _reread(opened)
            # Another tab was first, or the wrong code has ended the attempt: that page has no field for a code.
            if refusal.code == "otp_not_expected" or current.shown.detail is not Detail.OTP_REQUIRED:
                return self.get(request, current)
            form.refuse(refusal) if refusal.errors else form.add_error("code", refusal.message)
            return self.screen(request, current, form, status=_status_of(refusal))
        return self.get(request, opened)


class RetryView(CheckoutView):
    """POST: start a new attempt of a failed payment, with the same number or another one."""

    def post(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        if opened.payment is None or opened.intent.has_ended:
            return self.get(request, opened)
        form = _typed(request, RetryForm)
        form.is_valid()
        try:
            limits.count_write(opened, request, "initiate")
            retry(
                opened.payment.pk,
                source=Source.API,
                phone=form.cleaned_data.get("phone", ""),
                otp=form.cleaned_data.get("code", ""),
                actor="" if opened.user is None else str(opened.user.pk),
                language=translation.get_language() or "en",
            )
        except NotAllowedError as refusal:
            current = _reread(opened)
            if not current.is_failed:  # another tab was first, or it was paid meanwhile
                return self.get(request, current)
            form.refuse(refusal)
            return self.screen(request, current, form, status=_status_of(refusal))
        response = self.get(request, opened)
        phone = opened.payment.provider.spec.phone
        own_number.remember(response, request, page_path(opened.address), form.cleaned_data.get("phone", ""), phone)
        return response


class BackView(CheckoutView):
    """Where an operator's page sends its payer, by GET or POST. All parameters are ignored."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        return csrf_exempt(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.answer(request, kwargs["address"])

    def post(self, request: HttpRequest, opened: Opened) -> HttpResponseBase:
        return self.get(request, opened)


def _typed(request: HttpRequest, kind: type[TypedForm]) -> TypedForm:
    """The form that was sent. The request forgets it: error reports quote POST."""
    form = kind(request.POST)
    request.POST = QueryDict()
    return form


def _payment_request(request: HttpRequest, opened: Opened, form: StartForm, way: Way) -> PaymentRequest:
    """What `initiate` is asked for. An operator's page sends its payer back to the checkout, not to the host."""
    intent = opened.intent
    back = own_address(page_path(intent.short_address, "back"), request)
    return PaymentRequest(
        user=opened.user,
        provider=way.code,
        amount=intent.amount,
        currency=intent.currency,
        phone=form.cleaned_data["phone"] if way.phone else "",
        merchant_reference=intent.merchant_reference,
        description=intent.description,
        metadata=intent.metadata,
        otp=form.cleaned_data["code"] if way.needs_code_first else "",
        return_url=back,
        cancel_url=back,
        return_hosts=(host_of(request),),
    )


def _stored(opened: Opened, form: StartForm) -> CheckoutIntent:
    intent = opened.intent
    return CheckoutIntent(
        id=intent.id,
        currency=intent.currency,
        return_url=intent.return_url,
        cancel_url=intent.cancel_url,
        expires_at=intent.expires_at,
        replaces=form.replaced,
    )


def _reconciled(opened: Opened) -> Opened:
    """The address with its payment as FeexPay knows it, if a poll is due."""
    if reconcile_if_due(opened.shown.attempt, source=Source.API, total_seconds=_READ_TIMEOUT_SECONDS):
        return _reread(opened)
    return opened


def _reread(opened: Opened) -> Opened:
    return open_address(opened.address)


def _wants_another(request: HttpRequest, opened: Opened) -> bool:
    return "again" in request.GET and opened.may_start_another


def _replaceable(opened: Opened) -> Any:
    return opened.payment.pk if opened.payment is not None and opened.is_failed else None


def _country(request: HttpRequest, ways: Ways) -> str:
    return ways.country_among(_countries_wanted(request))


def _countries_wanted(request: HttpRequest) -> list[str]:
    """The countries that the payer may mean: chosen on the page, used here before, or of the browser's language."""
    last = CATALOGUE.get(request.COOKIES.get(_WAY_COOKIE, ""))
    wanted = [request.GET.get("country", ""), (last.country if last else None) or ""]
    wanted += _REGION.findall(request.headers.get("Accept-Language", ""))
    return [code.upper() for code in wanted]


def _usual(request: HttpRequest, offered: Sequence[Way]) -> str:
    """The code of the way that this browser used last, or of the only one; "" if there is neither."""
    codes = [way.code for way in offered]
    last = request.COOKIES.get(_WAY_COOKIE, "")
    return last if last in codes else codes[0] if len(codes) == 1 else ""


def _sends_events(request: HttpRequest) -> bool:
    return isinstance(request, ASGIRequest) and feexpay.live_status


def _addresses(request: HttpRequest, opened: Opened) -> dict[str, str]:
    return {
        "page_address": page_path(opened.address),
        "status_address": page_path(opened.address, "status"),
        "events_address": page_path(opened.address, "events") if _sends_events(request) else "",
        "code_address": page_path(opened.address, "code"),
        "retry_address": page_path(opened.address, "retry"),
    }


def _languages() -> list[tuple[str, str]]:
    """The languages of the checkout's texts that the host offers, each by its own name."""
    offered = dict(settings.LANGUAGES)
    return [(code, name) for code, name in (("fr", "Français"), ("en", "English")) if code in offered]


def _status_of(refusal: NotAllowedError) -> int:
    return _FORM_STATUS if refusal.code == "validation_error" else PROBLEMS[refusal.code][0]
