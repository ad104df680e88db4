"""The views of the API: each validates a request, calls one function and returns the result."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, transaction
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_feexpay import exports, log_context
from django_feexpay.api import filters, pagination
from django_feexpay.api.errors import exception_handler
from django_feexpay.api.inputs import InitiateInput, OtpInput, QuoteInput, RetryInput, StrictInput
from django_feexpay.api.monitors import has_monitor_token
from django_feexpay.api.outputs import as_first_written, payment_body, quote_body
from django_feexpay.api.parsers import MalformedRequest, StrictJSONParser
from django_feexpay.api.provider_list import provider_list
from django_feexpay.api.renderers import CSVRenderer, EventStreamRenderer, FormatInAddress, JSONOnly, XLSXRenderer
from django_feexpay.api.throttles import ScopeThrottle
from django_feexpay.conf import feexpay
from django_feexpay.etags import etag
from django_feexpay.lifecycle import Status
from django_feexpay.live_status import stream
from django_feexpay.models import Payment
from django_feexpay.models.payment import listed_payments, read_payments
from django_feexpay.monitoring import health
from django_feexpay.monitoring.facts import Trouble
from django_feexpay.payments import idempotency, initiate, otp
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile_if_due
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest, quote
from django_feexpay.problems import RETRY_AFTER_SECONDS, request_id
from django_feexpay.table_files import NotInstalledError, TooManyRowsError

logger = logging.getLogger("django_feexpay.api")

#: How long `GET status/` waits for FeexPay.
_READ_TIMEOUT_SECONDS = 2.0
_KEY_MAX_LENGTH = 255
#: FeexPay's answer is not known (yet), so the API answers 202 instead of 201.
_UNANSWERED = (Status.CREATED, Status.SENDING, Status.UNKNOWN)


class FeexPayView(APIView):
    """Base of all views: JSON, problems and the rate limits, whatever the host's REST_FRAMEWORK says."""

    http_method_names = ["get", "head", "post"]
    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = JSONOnly
    versioning_class = None
    metadata_class = None
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated,)
    throttle_classes: Sequence[type[ScopeThrottle]] = (ScopeThrottle,)
    #: The scope of FEEXPAY["RATE_LIMITS"] in which the requests of a user are counted.
    rate_scope = "read"
    #: Set by the throttle; sent with every answer to a counted request.
    rate_headers: Mapping[str, str] = {}
    #: True for a view that validates its query string itself. The others refuse any parameter, because ignoring a
    #: misspelt one would hide a mistake.
    takes_query = False

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Run outside the host's ATOMIC_REQUESTS: a rollback cannot undo what was sent to FeexPay."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return exception_handler

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer in the language of Accept-Language, also on a host without LocaleMiddleware."""
        request_id(request)  # under ASGI, what the view writes has this id only if it is known before
        context = log_context.entry_point(log_context.API, payment_id=kwargs.get("payment_id", ""))
        with context, translation.override(translation.get_language_from_request(request)):
            response = super().dispatch(request, *args, **kwargs)
        patch_vary_headers(response, ("Accept-Language",))
        return response

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except UnicodeDecodeError:  # the host's authentication classes decode the header and do not catch this
            raise AuthenticationFailed from None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.takes_query:
            filters.refuse_unknown(request, ())

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response["X-Request-ID"] = request_id(request)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        for name, value in self.rate_headers.items():
            response[name] = value
        return super().finalize_response(request, response, *args, **kwargs)


class InitiateView(FeexPayView):
    """`POST initiate/`: start a payment."""

    rate_scope = "initiate"

    def post(self, request: Request) -> Response:
        if not feexpay.payable_path:  # without it the client could choose the price
            logger.error('initiate/ is refused: FEEXPAY["PAYABLE"] is not set (feexpay.W014)')
            raise NotAllowedError("not_configured", _("Payments are not set up here yet. Nothing was charged."))
        given = _validated(InitiateInput, request)
        key = _key(request, "initiate")
        host = urlsplit(f"//{request.get_host()}").hostname
        order = PaymentRequest(user=request.user, return_hosts=(host or "",), **given)
        return _answer_once(key, lambda: initiate.start(order, source=Source.API, key=key))


class RetryView(FeexPayView):
    """`POST retry/{id}/`: start a new attempt of a failed payment."""

    rate_scope = "initiate"

    def post(self, request: Request, payment_id: UUID) -> Response:
        _own_payment(request, payment_id)
        changes = _validated(RetryInput, request)
        key = _key(request, f"retry/{payment_id}")
        by_user = {"actor": str(request.user.pk), "language": _language()}
        return _answer_once(key, lambda: retry(payment_id, source=Source.API, key=key, **by_user, **changes))


class OtpView(FeexPayView):
    """`POST {id}/otp/`: send the code that the payer received after the start."""

    rate_scope = "otp"

    def post(self, request: Request, payment_id: UUID) -> Response:
        _own_payment(request, payment_id)
        code = _validated(OtpInput, request)["otp"]
        key = _key(request, f"{payment_id}/otp")
        return _answer_once(key, lambda: otp.submit(payment_id, code, source=Source.API, key=key), status=200)


class StatusView(FeexPayView):
    """`GET {id}/status/`: read a payment; polls FeexPay if a poll is due."""

    rate_scope = "status"

    def get(self, request: Request, payment_id: UUID) -> Response:
        payment = _own_payment(request, payment_id)
        if reconcile_if_due(payment.attempt, source=Source.API, total_seconds=_READ_TIMEOUT_SECONDS):
            payment = _own_payment(request, payment_id)
        body = payment_body(payment)
        tag = etag(body)
        if _client_has(request, tag):
            return Response(status=304, headers={"ETag": tag})
        return Response(body, headers={"ETag": tag})


class EventsView(FeexPayView):
    """`GET {id}/events/`: the same payment as Server-Sent Events, where the server runs under ASGI.

    The worker polls FeexPay when a poll is due; the stream only reads.
    """

    rate_scope = "status"
    renderer_classes = (EventStreamRenderer,)

    def get(self, request: Request, payment_id: UUID) -> HttpResponseBase:
        return stream(request._request, _own_payment(request, payment_id), payment_body)


class HistoryView(FeexPayView):
    """`GET history/`: the user's payments, newest first."""

    takes_query = True

    def get(self, request: Request) -> Response:
        mine = listed_payments().filter(user=cast(Any, request.user))
        rows, links = pagination.page(filters.filter_payments(mine, request), request)
        return Response({**links, "results": [payment_body(payment) for payment in rows]})


class ExportView(FeexPayView):
    """`GET history/export/`: the user's payments that match the filters, as a file."""

    renderer_classes = (CSVRenderer, XLSXRenderer)
    content_negotiation_class = FormatInAddress
    takes_query = True

    def get(self, request: Request) -> StreamingHttpResponse:
        mine = Payment.objects.filter(user=cast(Any, request.user))
        chosen = filters.filter_payments(mine, request, other_parameters=frozenset({"format"}))
        name = cast(Any, request).accepted_renderer.format
        try:
            return exports.download(chosen, name, only_head=request.method == "HEAD")
        except NotInstalledError as error:
            raise NotAllowedError("not_acceptable", str(error)) from None
        except TooManyRowsError as error:
            raise invalid("format", "max_rows", str(error)) from None


class QuoteView(FeexPayView):
    """`GET quote/`: what the payer would be charged for a price, by the function that `initiate/` uses."""

    rate_scope = "quote"
    takes_query = True

    def get(self, request: Request) -> Response:
        filters.refuse_repeated(request)
        query = QuoteInput(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        return Response(quote_body(quote(user=request.user, **query.validated_data)))


class ProvidersView(FeexPayView):
    """`GET providers/`: all providers, the unavailable ones with the reason."""

    takes_query = True

    def get(self, request: Request) -> Response | HttpResponse:
        found = provider_list(filters.provider_query(request), _language())
        response: Response | HttpResponse
        if _client_has(request, found.tag):
            response = Response(status=304)
        else:
            response = HttpResponse(found.body, content_type="application/json")
        response["ETag"] = found.tag
        response["Cache-Control"] = f"private, max-age={found.client_seconds}"
        return response


class HealthView(FeexPayView):
    """`GET health/`: monitors and staff read the report, others the status and which providers are in trouble."""

    permission_classes = (AllowAny,)

    def perform_authentication(self, request: Request) -> None:
        self._is_monitor = has_monitor_token(request._request)
        if self._is_monitor:  # the host's authentication would refuse this token
            request.user = AnonymousUser()
            return
        try:
            super().perform_authentication(request)
        except DatabaseError:  # without the database no user can be identified, and the answer is "down"
            request.user = AnonymousUser()

    def get(self, request: Request) -> Response:
        report = health.check()
        body: dict[str, Any] = {"status": report.status}
        if self._is_monitor or getattr(request.user, "is_staff", False):
            troubles = [_trouble_body(trouble) for trouble in report.troubles]
            body |= {"components": report.components, "dropped_webhooks": report.dropped_webhooks, "troubles": troubles}
        elif report.circuits:
            body["providers_in_trouble"] = list(report.circuits)
        if report.status is health.Health.DOWN:
            return Response(body, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        return Response(body)


class ProbeView(FeexPayView):
    """Base of the two probes: for every caller, neither authenticated nor counted, so that a probe costs nothing."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes: Sequence[type[ScopeThrottle]] = ()


class LiveView(ProbeView):
    """`GET health/live/`: this process answers. It reads nothing: a restart helps against no database outage."""

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(ProbeView):
    """`GET health/ready/`: 200 if this process can serve payers, 503 if a proxy should send them elsewhere."""

    def get(self, request: Request) -> Response:
        readiness = health.readiness()
        if readiness.is_ready:
            return Response({"status": "ok", "checks": readiness.checks})
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Response({"status": "down", "checks": readiness.checks}, status=503, headers=headers)


def _trouble_body(trouble: Trouble) -> dict[str, Any]:
    fact = trouble.fact
    return {
        "fact": fact.name,
        "subject": trouble.subject,
        "severity": fact.severity,
        "value": None if math.isinf(trouble.value) else trouble.value,
        "threshold": fact.limit,
        "unit": fact.unit,
        "words": str(fact.words),
        "advice": str(fact.advice),
    }


def _validated(shape: type[StrictInput], request: Request) -> dict[str, Any]:
    if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
        # Django reads such a body as empty: a retry would charge the old number instead of the new one.
        raise MalformedRequest(_("Send the body with its Content-Length."))
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _key(request: Request, route: str) -> idempotency.Key | None:
    value = request.headers.get("Idempotency-Key")
    if value is None:
        if feexpay.require_idempotency_key:
            raise invalid("Idempotency-Key", "required", _("This header is required."))
        return None
    # An empty key is refused: its client has lost the key but still relies on it.
    if not 0 < len(value) <= _KEY_MAX_LENGTH or not (value.isascii() and value.isprintable()):
        raise invalid("Idempotency-Key", "invalid", _("From 1 to 255 printable ASCII characters."))
    return idempotency.key_of(request.user, value, route, cast(dict[str, Any], request.data))


def _answer_once(key: idempotency.Key | None, run: Callable[[], Payment], *, status: int | None = None) -> Response:
    """Run and store the answer, or repeat the first answer.

    status: of the first answer; None: 201 or 202, chosen by the payment's status.
    If the first request never answered, its answer is made from the payment.
    """
    headers = {}
    try:
        payment = run()
    except idempotency.AlreadyAnswered as answered:
        headers = {"Idempotency-Replayed": "true"}
        if answered.status is not None and answered.body is not None:
            return Response(as_first_written(answered.body), status=answered.status, headers=headers)
        payment, key = read_payments().get(pk=answered.payment_id), None
    status, body = status or (202 if payment.status in _UNANSWERED else 201), payment_body(payment)
    if key is not None:
        idempotency.remember(key, status, body)
    return Response(body, status=status, headers=headers)


def _own_payment(request: Request, payment_id: UUID) -> Payment:
    """A payment of this user; read it before the body is validated, so that another user's payment is always 404.

    Raises: Http404.
    """
    payment = read_payments().filter(user=cast(Any, request.user), pk=payment_id).first()
    if payment is None:
        raise Http404
    return payment


def _client_has(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this tag."""
    if "If-None-Match" not in request.headers:
        return False
    known = {part.strip().removeprefix("W/") for part in request.headers["If-None-Match"].split(",")}
    return bool(known & {tag.removeprefix("W/"), "*"})


def _language() -> str:
    return get_language() or "en"
